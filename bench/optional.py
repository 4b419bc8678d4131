"""Competitors that are measured where their libraries are installed, and left out elsewhere."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import TypeVar

Competitor = TypeVar("Competitor")


def where(library: str, make: Callable[[], Mapping[str, Competitor]]) -> Mapping[str, Competitor]:
    """Providers that need a library.

    Args:
        library: its module; `make` may import it.
        make: the providers.

    Returns:
        What `make` returns, nothing where the library is absent.
    """
    return make() if importlib.util.find_spec(library) else {}
