"""Which evaluation of which slot sits in which lane of an engine's batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from denoisert.runtime.loop.asks import Ask
from denoisert.runtime.loop.slot import Slot


class Lane(NamedTuple):
    """One row of an engine's batch."""

    slot: int
    position: int  # among the slot's asks
    ask: Ask


class Call(NamedTuple):
    """One run of an engine: `bucket` lanes from `first` on, of which `lanes` are read."""

    first: int
    lanes: int
    bucket: int


@dataclass(frozen=True, slots=True)
class LaneMap:
    """Lanes of every engine, those of a slot side by side.

    Args:
        lanes: per engine, its lanes in order.
    """

    lanes: tuple[tuple[Lane, ...], ...]

    @classmethod
    def of(cls, slots: Sequence[Slot], engines: int) -> LaneMap:
        """The map of what these slots ask next."""
        lanes: list[list[Lane]] = [[] for _ in range(engines)]
        for slot in slots:
            for position, ask in enumerate(slot.asks):
                lanes[ask.engine].append(Lane(slot.index, position, ask))
        return cls(tuple(map(tuple, lanes)))


def calls(lanes: int, buckets: Sequence[int], first: int = 0) -> list[Call]:
    """Cover `lanes` lanes with as few calls as the buckets allow.

    Args:
        lanes: how many.
        buckets: lane counts the engine can be bound at, ascending.
        first: where they start.

    Returns:
        Calls of the largest bucket, the rest in the smallest bucket that holds it.
    """
    covered: list[Call] = []
    while lanes > 0:
        count = min(lanes, buckets[-1])
        bucket = next(size for size in buckets if size >= count)
        covered.append(Call(first, count, bucket))
        first, lanes = first + count, lanes - count
    return covered


def calls_by_time(times: Sequence[float], buckets: Sequence[int]) -> list[Call]:
    """Cover lanes of an engine that takes one time per call: neighbours of equal time share one.

    Args:
        times: model time of every lane.
        buckets: lane counts the engine can be bound at, ascending.

    Returns:
        Calls in lane order.
    """
    covered: list[Call] = []
    start = 0
    for lane in range(1, len(times) + 1):
        if lane == len(times) or times[lane] != times[start]:
            covered += calls(lane - start, buckets, start)
            start = lane
    return covered
