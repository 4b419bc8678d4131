"""Places in one piece of memory for blocks whose times of use are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

ALIGNMENT_BYTES: Final = 256
"""What CUDA's allocator gives, and more than any vector instruction wants."""


@dataclass(frozen=True, slots=True)
class Span:
    """When and how much.

    Args:
        nbytes: size.
        first: number of the step that writes it.
        last: number of the last step that reads it, inclusive.
    """

    nbytes: int
    first: int
    last: int


def place(spans: Mapping[str, Span]) -> tuple[dict[str, int], int]:
    """Offsets at which no two blocks that live at the same time overlap.

    Largest first, each at the lowest gap that is wide enough among those that live with it.

    Args:
        spans: block name -> span.

    Returns:
        Block name -> offset in bytes, and the bytes of the whole.
    """
    placed: list[tuple[int, int, Span]] = []  # first byte, last byte + 1, span
    offsets: dict[str, int] = {}
    for name, span in sorted(spans.items(), key=lambda item: (-item[1].nbytes, item[1].first)):
        size = aligned(span.nbytes)
        start = _gap([entry for entry in placed if _meet(entry[2], span)], size)
        offsets[name] = start
        placed.append((start, start + size, span))
    return offsets, max((end for _, end, _ in placed), default=0)


def aligned(nbytes: int) -> int:
    """The next multiple of the alignment."""
    return -(-nbytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _meet(one: Span, other: Span) -> bool:
    return one.first <= other.last and other.first <= one.last


def _gap(neighbours: list[tuple[int, int, Span]], size: int) -> int:
    start = 0
    for first, end, _ in sorted(neighbours, key=lambda entry: entry[:2]):
        if start + size <= first:
            return start
        start = max(start, end)
    return start
