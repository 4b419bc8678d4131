"""Named ranges for Nsight Systems, with the names of the Chrome trace, in a domain of our own.

Without the `nvtx` package a range is nothing. A captured tick is one range, as its parts run from
the graph; `nsys profile --cuda-graph-trace=node` shows those.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

DOMAIN = "denoisert"


class Ranges(Protocol):
    """Where ranges go."""

    def span(self, name: str) -> AbstractContextManager[None]:
        """What runs inside is drawn under this name."""
        ...


class NoRanges:
    """Nobody looks."""

    def span(self, name: str) -> AbstractContextManager[None]:
        """Draw nothing."""
        return nullcontext()


class Domain(Protocol):
    """What we use of a domain of the `nvtx` package."""

    def get_event_attributes(self, *, message: str) -> object:
        """What a range is called."""
        ...

    def push_range(self, attributes: object) -> None:
        """Begin a range."""
        ...

    def pop_range(self) -> None:
        """End the last one."""
        ...


class NvtxRanges:
    """Ranges of an NVTX domain.

    Args:
        domain: where they go.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._attributes: dict[str, object] = {}

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Push a range, and pop it at the end."""
        known = self._attributes
        if name not in known:
            known[name] = self._domain.get_event_attributes(message=name)
        self._domain.push_range(known[name])
        try:
            yield
        finally:
            self._domain.pop_range()


def ranges() -> Ranges:
    """NVTX where the package is installed, else nothing."""
    try:
        import nvtx
    except ModuleNotFoundError:
        return NoRanges()
    return NvtxRanges(nvtx.get_domain(DOMAIN))
