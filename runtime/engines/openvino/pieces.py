"""For how many lanes a graph is compiled, and how other numbers of lanes are made of those.

The form of a fixed number of lanes takes less time than the open one, most so for small networks;
but each form holds its weights once more, and not only once. A small network has little to hold and
gains from every lane that joins a call; the lanes of a larger one hardly do beyond four. Every
fixed form gives a lane the same bits, so it does not matter which of them it meets; the open form
gives it others, so an engine has one kind or the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from denoisert.runtime.engines.engine import LARGEST_BUCKET

EVERY: Final = tuple(range(1, LARGEST_BUCKET + 1))
POWERS: Final = (1, 2, 4)
OPEN: Final = ()

SMALL_BYTES: Final = 8 * 2**20
LARGE_BYTES: Final = 2**30


def fitting(weight_bytes: int) -> tuple[int, ...]:
    """The numbers of lanes that a graph is compiled for.

    Args:
        weight_bytes: of the graph.

    Returns:
        Every number for a small graph, powers of two for one that can be held three times, and
        none, which is the open form, above that.
    """
    if weight_bytes <= SMALL_BYTES:
        return EVERY
    return POWERS if weight_bytes <= LARGE_BYTES else OPEN


def divide(lanes: int, counts: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Cut lanes into calls, the largest first.

    Args:
        lanes: at least 1.
        counts: lanes of a call, 1 among them; none where any number goes.

    Returns:
        First lane and number of lanes of every call.
    """
    if not counts:
        return ((0, lanes),)
    pieces: list[tuple[int, int]] = []
    first = 0
    while first < lanes:
        count = max(count for count in counts if count <= lanes - first)
        pieces.append((first, count))
        first += count
    return tuple(pieces)
