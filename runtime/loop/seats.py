"""Who sits where: the slots of a pool, the rows of their tables and the order of making way."""

from __future__ import annotations

from denoisert.runtime.devices.device import Memory
from denoisert.runtime.errors import EngineError
from denoisert.runtime.loop.arena import Arena, Lease
from denoisert.runtime.loop.slot import Slot
from denoisert.runtime.loop.waiting import Waiter
from denoisert.runtime.sampling.table import SamplerTable


class Seats:
    """The slots of a pool.

    Attributes:
        active: slots that run, by index; the list is a new one after every change.
        shown: those of them whose works want previews.
        running: the same slots by number of their work.

    Args:
        memory: of the pool.
        count: capacity.
        arena: rows of all live tables.
    """

    def __init__(self, memory: Memory, count: int, arena: Arena) -> None:
        self.count = count
        self.arena = arena
        self.running: dict[int, Slot] = {}
        self._memory = memory
        self._places: list[Slot | None] = [None] * count
        self._floor = 0
        self._refresh()

    def take(self, waiter: Waiter) -> bool:
        """Give a work a slot, its rows a place, and run its prologue or put it back where it stood.

        Args:
            waiter: who is next.

        Returns:
            False, and everybody sits where they sat, if no slot is free or the arena has no room.

        Raises:
            MemoryError: the machine has no room; nothing has changed.
            EngineError: the device failed; nothing has changed.
        """
        place = None
        if len(self.running) < self.count:
            place = self.arena.acquire(waiter.work.table)
        if place is None:
            return False
        try:
            slot = self._enter(waiter, place)
        except (MemoryError, EngineError):
            self.arena.forget(waiter.work.table)
            raise
        self._places[slot.index] = self.running[slot.number] = slot
        self._refresh()
        return True

    def _enter(self, waiter: Waiter, place: tuple[Lease, bool]) -> Slot:
        lease, is_new = place
        self._grow(waiter)
        if is_new:
            self._memory.write_rows(lease)
        index = self._places.index(None)
        slot = Slot(index, waiter.work, lease.offset, waiter.counter, waiter.number)
        if waiter.parked is None:
            self._memory.admit(slot)
            slot.counter = 1
        else:
            self._memory.resume(slot, waiter.parked)
        return slot

    def lower(self, waiter: Waiter) -> list[Slot]:
        """The slots that must make way for a work: as few as let it in, of lower priority.

        Args:
            waiter: who wants a slot and has not got one.

        Returns:
            The lowest priority first, among equals the youngest; none if that were in vain.
        """
        if waiter.work.priority <= self._floor:
            return []
        lower = [slot for slot in self.active if slot.work.priority < waiter.work.priority]
        lower.sort(key=lambda slot: (slot.work.priority, -slot.number))
        tables: list[SamplerTable] = []
        for slot in lower:
            tables.append(slot.work.table)
            if self.arena.fits(waiter.work.table, without=tables):
                return lower[: len(tables)]
        return []

    def park(self, slot: Slot) -> Waiter:
        """Take a work out of its slot; it may come back into any."""
        parked = self._memory.park(slot)
        self.leave(slot)
        return Waiter(slot.number, slot.work, parked)

    def leave(self, slot: Slot) -> None:
        """Free a slot and its table's rows."""
        del self.running[slot.number]
        self._places[slot.index] = None
        self.arena.release(slot.work.table)
        self._refresh()

    def _refresh(self) -> None:
        self.active = [slot for slot in self._places if slot is not None]
        self.shown = [slot for slot in self.active if slot.work.previews]
        self._floor = min((slot.work.priority for slot in self.active), default=0)

    def _grow(self, waiter: Waiter) -> None:
        """Make room for a table's column space and its lanes."""
        memory, work = self._memory, waiter.work
        form = memory.wider(memory.form, work.table, len(work.conditions))
        lanes = max(memory.lanes, *map(len, work.asks))
        if (form, lanes) != (memory.form, memory.lanes):
            memory.grow(form, lanes)
