"""Memory addresses that are the same in every run, for libraries that go through things by address.

TensorRT orders what it generates by where it happens to lie: the same graph gave other bytes in
every process, and the same ones as soon as addresses were not drawn any more.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

FIXED: Final = 0x0040000
"""ADDR_NO_RANDOMIZE of personality(2)."""

ASK: Final = 0xFFFFFFFF
"""What `personality` takes to tell instead of change."""


def fix_addresses() -> None:
    """Start this process again with fixed addresses; a system that does not let it is left alone.

    Call it first of all: nothing of the process survives but its files and its number.
    """
    system = ctypes.CDLL(None)
    current = system.personality(ASK)
    if current == -1 or current & FIXED or system.personality(current | FIXED) == -1:
        return
    os.execv(sys.executable, sys.orig_argv)
