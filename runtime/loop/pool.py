"""All slots of one state layout and engine set, and the works that wait for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from denoisert.kernels.step.form import Form
from denoisert.runtime.devices.device import Device, grown
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.engine import Bound
from denoisert.runtime.errors import DenoiseRTError, InvalidInput, InvalidTable, NonFinite
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.loop.arena import Arena
from denoisert.runtime.loop.lanes import Call, LaneMap, calls, calls_by_time
from denoisert.runtime.loop.slot import Outcome, Slot, Work

ARENA_ROWS = 4096


class Pool:
    """Slots, their memory and their engines.

    Args:
        layout: shape of the state.
        denoisers: the engines that tables name by index.
        device: where the memory lives.
        slots: capacity.
        arena_rows: rows of all live tables together.
    """

    def __init__(
        self,
        layout: StateLayout,
        denoisers: Sequence[Denoiser],
        device: Device,
        *,
        slots: int = 8,
        arena_rows: int = ARENA_ROWS,
    ) -> None:
        self.layout = layout
        self.denoisers = tuple(denoisers)
        self.memory = device.memory(layout, denoisers, slots=slots, rows=arena_rows)
        self.slots: list[Slot | None] = [None] * slots
        self.waiting: deque[tuple[int, Work]] = deque()
        self.outcomes: dict[int, Outcome] = {}
        self.active: list[Slot] = []
        self._arena = Arena(arena_rows)
        self._numbers: dict[int, int] = {}
        self._submitted = 0
        self._is_map_stale = True
        self._map = LaneMap(((),) * len(self.denoisers))
        self._calls: list[Bound] = []
        self._has_scalar_time = any(denoiser.has_scalar_time for denoiser in self.denoisers)
        self._bound: dict[tuple[int, Call], Bound] = {}

    def submit(self, work: Work) -> int:
        """Queue a work.

        Args:
            work: the picture to compute.

        Returns:
            The number under which its outcome appears in `outcomes`.

        Raises:
            InvalidTable: its rows could never fit the arena.
            InvalidInput: the table names conditions or externals that the work lacks.
        """
        _check(work, self.layout.elements)
        if work.table.stages + 1 > self._arena.capacity:
            raise InvalidTable(
                f"a table of {work.table.stages} stages, the pool's arena holds "
                f"{self._arena.capacity} rows. "
                "Ask for fewer steps."
            )
        number = self._submitted
        self._submitted += 1
        self.waiting.append((number, work))
        return number

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self.active and not self.waiting

    def admit(self) -> None:
        """Give free slots to waiting works, in order, while the arena has room for their rows."""
        while self.waiting and None in self.slots:
            if not self._admit(self.slots.index(None)):
                return

    def _admit(self, index: int) -> bool:
        number, work = self.waiting[0]
        place = self._arena.acquire(work.table)
        if place is None:
            return False
        self.waiting.popleft()
        lease, is_new = place
        form = work.table.form
        self._grow(form._replace(branches=max(form.branches, len(work.conditions))))
        if is_new:
            self.memory.write_rows(lease)
        slot = Slot(index, work, lease.offset)
        self.memory.admit(slot)
        slot.counter = 1
        self.slots[index] = slot
        self._numbers[index] = number
        self._refresh()
        return True

    def _grow(self, form: Form) -> None:
        """Make room for a table's column space."""
        wanted = grown(self.memory.form, form)
        if wanted != self.memory.form:
            self.memory.grow(wanted)
            self._bound.clear()

    def _refresh(self) -> None:
        self.active = [slot for slot in self.slots if slot is not None]
        self._is_map_stale = True

    def prepare(self) -> list[Bound]:
        """Bring the lane map up to date with what the active slots ask.

        Returns:
            The engine calls of this tick, each bound once per place and bucket.
        """
        if self._is_map_stale:
            self._map = LaneMap.of(self.active, len(self.denoisers))
            self.memory.map_lanes(self._map, self.active)
            self._calls = self._bind()
            self._is_map_stale = False
        elif self._has_scalar_time:
            self._calls = self._bind()
        return self._calls

    def _bind(self) -> list[Bound]:
        found = []
        for engine, denoiser in enumerate(self.denoisers):
            for call in self._cover(engine, denoiser):
                bound = self._bound.get((engine, call))
                if bound is None:
                    buffers = self.memory.buffers(engine, call.first, call.bucket)
                    bound = self._bound[engine, call] = denoiser.engine.bind(call.bucket, buffers)
                found.append(bound)
        return found

    def _cover(self, engine: int, denoiser: Denoiser) -> list[Call]:
        lanes = self._map.lanes[engine]
        if not denoiser.has_scalar_time:
            return calls(len(lanes), denoiser.engine.buckets)
        times = [self._time(lane.slot, lane.ask.column) for lane in lanes]
        return calls_by_time(times, denoiser.engine.buckets)

    def _time(self, index: int, column: int) -> float:
        slot = self.slots[index]
        return float(slot.work.table.model_time[slot.counter, column]) if slot else 0.0

    def advance(self, failed: Sequence[Slot]) -> None:
        """Count the row that just ran, end finished and failed works, free their slots."""
        changed = False
        for slot in self.active:
            asked = slot.asks
            slot.counter += 1
            if slot in failed:
                self._end(slot, Outcome(error=_non_finite(slot)))
            elif slot.is_done:
                self._end(slot, Outcome(self.memory.latent(slot), self.memory.tapes(slot)))
            elif slot.asks is asked:
                continue
            changed = True
        if changed:
            self._refresh()

    def fail(self, error: DenoiseRTError) -> None:
        """End every active work with one error: the engine that served them failed."""
        for slot in self.active:
            self._end(slot, Outcome(error=error))
        self._refresh()

    def take(self, number: int) -> Outcome:
        """Hand over the outcome of a work, once."""
        return self.outcomes.pop(number)

    def clear(self) -> None:
        """Forget every work that waits, runs or has ended: the caller gave up."""
        self.waiting.clear()
        self.outcomes.clear()
        for slot in self.active:
            self._arena.release(slot.work.table)
            self.slots[slot.index] = None
        self._numbers.clear()
        self._refresh()

    def close(self) -> None:
        """Forget everything, bound calls included: they would keep the engines alive."""
        self.clear()
        self._calls = []
        self._bound.clear()

    def _end(self, slot: Slot, outcome: Outcome) -> None:
        self.outcomes[self._numbers.pop(slot.index)] = outcome
        self._arena.release(slot.work.table)
        self.slots[slot.index] = None


def _check(work: Work, elements: int) -> None:
    """Refuse a work that lacks what its table reads."""
    asked = int(work.table.condition.max(initial=-1)) + 1
    if asked > len(work.conditions):
        raise InvalidInput(
            f"the table evaluates {asked} conditions, the work has {len(work.conditions)}."
        )
    pages = work.table.external_index.max(axis=0, initial=-1) + 1
    for name, count in zip(work.table.externals, pages.tolist(), strict=True):
        shape = work.externals[name].shape if name in work.externals else ()
        if len(shape) != 2 or shape[0] < count or shape[1] != elements:
            raise InvalidInput(
                f"the table reads {count} pages of {elements} numbers of external {name!r}, the "
                f"work has {shape or 'none'}."
            )


def _non_finite(slot: Slot) -> NonFinite:
    """Name the stage that produced it; the counter already stands one row later."""
    row = slot.counter - 1
    table = slot.work.table
    return NonFinite(
        f"picture {slot.work.image} of seed {slot.work.seed} became NaN or infinite at stage "
        f"{row} of {table.stages} (alpha = {table.alpha[row]:g}, sigma = {table.sigma[row]:g}). "
        "Other pictures are not affected. Try more steps, less guidance or a float32 engine."
    )
