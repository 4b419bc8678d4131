"""Gives memory that was freed back to the system.

glibc keeps what it freed for the next allocation: of weights that were loaded and released for the
second time nothing went back until it was asked to (docs/benchmarks.md, room export/release).
"""

from __future__ import annotations

import ctypes


def trim() -> None:
    """Return free pages where the C library can do so (glibc's malloc_trim)."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
