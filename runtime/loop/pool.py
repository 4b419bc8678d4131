"""All slots of one state layout and engine set, and the works that wait for one."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from itertools import count

from denoisert.runtime.devices.device import Device, Failure
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.engine import Bound
from denoisert.runtime.errors import (
    DenoiseRTError,
    DeviceLost,
    EngineError,
    InvalidTable,
    NonFinite,
    OutOfMemory,
)
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.loop.arena import Arena
from denoisert.runtime.loop.calls import LaneCalls
from denoisert.runtime.loop.footprint import footprint
from denoisert.runtime.loop.seats import Seats
from denoisert.runtime.loop.slot import Outcome, Preview, Progress, Slot, Work
from denoisert.runtime.loop.waiting import Waiter, Waiting
from denoisert.runtime.sampling.table import SamplerTable

ARENA_ROWS = 4096


class Pool:
    """Slots, their memory and their engines.

    Attributes:
        waiting: works without a slot, parked ones among them.
        outcomes: of the works that have ended, by number; `take` hands one over.
        previews: what running works have shown since the caller last emptied the list.
        parked: how often a work has been parked.

    Args:
        layout: shape of the state.
        denoisers: the engines that tables name by index.
        device: where the memory lives.
        slots: capacity.
        arena_rows: rows of all live tables together.
        numbers: of the works, where several pools share them; None counts from 0.
    """

    def __init__(
        self,
        layout: StateLayout,
        denoisers: Sequence[Denoiser],
        device: Device,
        *,
        slots: int = 8,
        arena_rows: int = ARENA_ROWS,
        numbers: Iterator[int] | None = None,
    ) -> None:
        self.layout = layout
        self.denoisers = tuple(denoisers)
        self.memory = device.memory(layout, denoisers, slots=slots, rows=arena_rows)
        self.waiting = Waiting()
        self.outcomes: dict[int, Outcome] = {}
        self.previews: list[Preview] = []
        self.parked = 0
        self._seats = Seats(self.memory, slots, Arena(arena_rows))
        self._calls = LaneCalls(self.denoisers, self.memory)
        self._numbers = count() if numbers is None else numbers
        self._is_map_stale = True
        self._is_settled = False

    def submit(self, work: Work) -> int:
        """Queue a work.

        Args:
            work: the picture to compute.

        Returns:
            The number under which its outcome appears in `outcomes`.

        Raises:
            InvalidTable: its rows could never fit the arena.
            InvalidInput: the table names what the work or the network lacks.
        """
        work.check(self.layout.elements, self.denoisers)
        if work.table.stages + 1 > self._seats.arena.capacity:
            raise InvalidTable(
                f"a table of {work.table.stages} stages, the pool's arena holds "
                f"{self._seats.arena.capacity} rows. Ask for fewer steps."
            )
        number = next(self._numbers)
        self.waiting.push(Waiter(number, work))
        self._is_settled = False
        return number

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self.active and not self.waiting

    @property
    def active(self) -> list[Slot]:
        """Slots that run."""
        return self._seats.active

    @property
    def running(self) -> tuple[int, ...]:
        """Numbers of the works that have a slot."""
        return tuple(slot.number for slot in self.active)

    @property
    def lanes(self) -> int:
        """Lanes of the last tick's calls that were read, all engines together."""
        return self._calls.lanes

    @property
    def lanes_padded(self) -> int:
        """Further lanes of these calls, which only filled their buckets."""
        return self._calls.padding

    def progress(self, number: int) -> Progress:
        """How far a work that has not ended has come.

        Args:
            number: what `submit` returned.

        Raises:
            KeyError: it has ended.
        """
        place = self._seats.running.get(number) or self.waiting[number]
        return Progress.of(place.work.table, place.counter)

    def nbytes(self, table: SamplerTable | None = None, parked: int = 0) -> int:
        """An upper bound of the pool's memory while it serves what it has.

        Args:
            table: counted as if a work of it were submitted, too.
            parked: works that may come to be parked beside those that are.

        Returns:
            Bytes, see `footprint`; the engines' own memory is not known here.
        """
        seats = self._seats
        tables = [lease.table for lease in seats.arena.leases]
        tables += [*(waiter.work.table for waiter in self.waiting), *([table] if table else [])]
        return footprint(
            self.memory,
            tables,
            self.layout,
            slots=seats.count,
            parked=parked + sum(waiter.parked is not None for waiter in self.waiting),
            arena_rows=seats.arena.capacity,
        )

    def admit(self) -> None:
        """Give slots to waiting works in their order; running ones of lower priority make way."""
        while self.waiting and not self._is_settled:
            waiter = self.waiting.first
            try:
                if not self._seats.take(waiter) and not self._make_way(waiter):
                    self._is_settled = True
                    return
            except DeviceLost:
                raise
            except EngineError as error:
                self.outcomes[waiter.number] = Outcome(error=error)
            except MemoryError as error:
                self.outcomes[waiter.number] = Outcome(error=_out_of_memory(waiter, error))
            self.waiting.remove(waiter.number)
            self._is_map_stale = True
            if (slot := self._seats.running.get(waiter.number)) and slot.is_done:
                self._finish(slot)  # a table of no stages ends with its prologue

    def _make_way(self, waiter: Waiter) -> bool:
        """Park what stands in the way of a work, if that lets it in."""
        lower = self._seats.lower(waiter)
        for slot in lower:
            self.waiting.push(self._seats.park(slot))
            self.parked += 1
            self._is_map_stale = True
        return bool(lower) and self._seats.take(waiter)

    def prepare(self) -> list[Bound]:
        """Bring the lane map up to date with what the active slots ask.

        Returns:
            The engine calls of this tick.
        """
        if self._is_map_stale:
            self._is_map_stale = False
            return self._calls.lay(self.active)
        return self._calls.again()

    def warm(self) -> None:
        """Run what a tick runs, once at every number of lanes that the slots can fill.

        Raises:
            EngineError: an engine or the device failed.
        """
        self.memory.warm(self._calls.every(self._seats.count))
        self._is_map_stale = True  # lanes have lost their content

    def advance(self, failed: Sequence[Failure]) -> None:
        """Count the row that just ran, end finished and failed works, free their slots.

        Args:
            failed: may name a work that has ended since; its slot is somebody else's.
        """
        rows = {each.slot.number: each.row for each in failed}
        if self._seats.shown:
            self._show(rows)
        for slot in self._seats.active:
            asked = slot.asks
            slot.counter += 1
            if slot.number in rows:
                self._end(slot, Outcome(error=_non_finite(slot, rows[slot.number])))
            elif slot.is_done:
                self._finish(slot)
            elif slot.asks is not asked:
                self._is_map_stale = True

    def _show(self, failed: Container[int]) -> None:
        """Copy what the row that just ran has put on the tapes of previews."""
        for slot in self._seats.shown:
            if slot.has_preview and slot.number not in failed:
                estimate = self.memory.preview(slot)
                step = int(slot.work.table.steps[slot.counter])
                self.previews.append(Preview(slot.number, step, estimate))

    def _finish(self, slot: Slot) -> None:
        tapes = self.memory.tapes(slot)
        kept = tapes[:-1] if slot.work.previews else tapes
        self._end(slot, Outcome(self.memory.latent(slot), kept))

    def cancel(self, number: int, error: DenoiseRTError) -> bool:
        """End a work, whether it waits, is parked or runs; its slot is free at once.

        Args:
            number: what `submit` returned.
            error: why; its outcome.

        Returns:
            Whether there was something to end; the outcome of a work that has ended stays.
        """
        slot = self._seats.running.get(number)
        if slot is not None:
            self._end(slot, Outcome(error=error))
        elif self.waiting.remove(number):
            self.outcomes[number] = Outcome(error=error)
            self._is_settled = False  # whoever stood behind it may fit
        else:
            return False
        return True

    def fail(self, error: DenoiseRTError) -> None:
        """End every active work with one error: the engine that served them failed."""
        for slot in self._seats.active:
            self._end(slot, Outcome(error=error))

    def take(self, number: int) -> Outcome:
        """Hand over the outcome of a work, once."""
        return self.outcomes.pop(number)

    def clear(self) -> None:
        """Forget every work that waits, runs or has ended: the caller gave up."""
        self.waiting.clear()
        for slot in self._seats.active:
            self._seats.leave(slot)
        self.outcomes.clear()
        self.previews.clear()
        self._is_map_stale = True
        self._is_settled = False

    def close(self) -> None:
        """Forget everything, bound calls included: they would keep the engines alive."""
        self.clear()
        self._calls.forget()

    def _end(self, slot: Slot, outcome: Outcome) -> None:
        self.outcomes[slot.number] = outcome
        self._seats.leave(slot)
        self._is_map_stale = True
        self._is_settled = False


def _out_of_memory(waiter: Waiter, error: MemoryError) -> OutOfMemory:
    return OutOfMemory(
        f"picture {waiter.work.image} of seed {waiter.work.seed} found no memory for its slot "
        f"({error}). Others are not affected. Open the runtime with fewer slots."
    )


def _non_finite(slot: Slot, row: int) -> NonFinite:
    """Name the stage that produced it."""
    table = slot.work.table
    return NonFinite(
        f"picture {slot.work.image} of seed {slot.work.seed} became NaN or infinite at stage "
        f"{row} of {table.stages} (alpha = {table.alpha[row]:g}, sigma = {table.sigma[row]:g}). "
        "Other pictures are not affected. Try more steps, less guidance or a float32 engine."
    )
