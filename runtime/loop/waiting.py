"""The works that have no slot, in the order in which they will get one."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple

from denoisert.runtime.devices.parked import Parked
from denoisert.runtime.loop.slot import Work


class Waiter(NamedTuple):
    """One work without a slot.

    Args:
        number: of the work in its pool.
        work: what it is.
        parked: what it has done so far, None before its first admission.
    """

    number: int
    work: Work
    parked: Parked | None = None

    @property
    def counter(self) -> int:
        """Next row."""
        return self.parked.counter if self.parked else 0


class Waiting:
    """A queue: highest priority first, then the lowest number.

    A parked work keeps its number, so it stands before everything of its priority that came later.
    """

    def __init__(self) -> None:
        self._order: list[tuple[int, int]] = []
        self._waiters: dict[int, Waiter] = {}

    def push(self, waiter: Waiter) -> None:
        """Queue a work at the place that its priority and its number give it."""
        self._waiters[waiter.number] = waiter
        insort(self._order, _rank(waiter))

    @property
    def first(self) -> Waiter:
        """Who is next; there must be one."""
        return self._waiters[self._order[0][1]]

    def remove(self, number: int) -> Waiter | None:
        """Take a work out wherever it stands; None if it does not wait."""
        waiter = self._waiters.pop(number, None)
        if waiter is not None:
            del self._order[bisect_left(self._order, _rank(waiter))]
        return waiter

    def __getitem__(self, number: int) -> Waiter:
        """The waiter of this number; KeyError if it does not wait."""
        return self._waiters[number]

    def clear(self) -> None:
        """Forget all of them."""
        self._order.clear()
        self._waiters.clear()

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Waiter]:
        """Waiters in order of admission."""
        return (self._waiters[number] for _, number in self._order)


def _rank(waiter: Waiter) -> tuple[int, int]:
    return -waiter.work.priority, waiter.number
