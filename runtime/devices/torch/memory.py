"""Memory of one pool on a device that torch serves, and its ticks.

The host knows every program counter, so it only uploads what changes: rows of a new table, the
state of a slot that is taken or left, addresses after a new lane map. All the rest of a tick is
one function of device memory, launched eagerly or replayed as a graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter_ns
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from denoisert.kernels.philox import LATENT
from denoisert.kernels.philox.reference import key_words
from denoisert.kernels.step import launch
from denoisert.kernels.step import record as r
from denoisert.kernels.step.form import Form
from denoisert.runtime.devices.device import Failure, Update
from denoisert.runtime.devices.instructions import Instruction, instructions
from denoisert.runtime.devices.parked import Parked
from denoisert.runtime.devices.torch.lanes import LaneTensors, lane_bytes
from denoisert.runtime.devices.torch.pages import Pages
from denoisert.runtime.devices.torch.passes import Passes, Wanted
from denoisert.runtime.devices.torch.rows import encode_rows
from denoisert.runtime.devices.torch.spaces import allocate, pitch_of, space_bytes, wider
from denoisert.runtime.devices.torch.stage import Reading, Stage
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.engine import Bound
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.loop.arena import Lease
from denoisert.runtime.loop.graphs import Rounds, TickKey
from denoisert.runtime.loop.lanes import LaneMap
from denoisert.runtime.loop.slot import Slot
from denoisert.runtime.sampling.table import SamplerTable

Array = NDArray[np.float32]


class Behind(NamedTuple):
    """The states after a tick, on their way to the host, and the slots that it served."""

    reading: Reading
    slots: tuple[Slot, ...]

    def failures(self) -> list[Failure]:
        """Slots that were no longer finite; waits for the tick."""
        states = self.reading.wait()
        rows = ((slot, int(states[slot.index, r.STATUS])) for slot in self.slots)
        return [Failure(slot, row) for slot, row in rows if row]


class TorchMemory:
    """Memory of one pool; see `Memory`.

    Args:
        layout: shape of the state.
        denoisers: the engines of the pool.
        slots: its capacity.
        rows: capacity of its arena.
        stage: of the device.
        rounds: eager or captured.
    """

    def __init__(
        self,
        layout: StateLayout,
        denoisers: Sequence[Denoiser],
        slots: int,
        rows: int,
        *,
        stage: Stage,
        rounds: Rounds,
    ) -> None:
        self._layout, self._slots, self._denoisers = layout, slots, tuple(denoisers)
        self._stage, self._rounds = stage, rounds
        self._pitch = pitch_of(layout)
        self._rows: list[Instruction | None] = [None] * rows
        self._leases: dict[int, Lease] = {}
        self._live: dict[int, Slot] = {}
        self._behind: Behind | None = None
        with stage.guarded("a pool"):
            self._passes = Passes(slots, layout, self._pitch, stage)
            self._pages = Pages(slots, self._pitch, layout.elements, stage)
            self._allocate(r.FORMS[0], r.FORMS[0].branches)

    def _allocate(self, form: Form, lanes: int) -> None:
        """Take a column space; when the device has no room for it, the old one stays."""
        space = allocate(
            self._layout,
            form,
            self._slots,
            len(self._rows),
            denoisers=self._denoisers,
            stage=self._stage,
        )
        shape = self._slots, form.branches, lanes
        buffers = [LaneTensors(each, *shape, self._stage) for each in self._denoisers]
        self._space, self._lanes = space, buffers
        self.form, self.lanes = form, lanes

    def wider(self, form: Form, table: SamplerTable, branches: int = 0) -> Form:
        """The column space that holds another one and a table; see `Memory.wider`."""
        return wider(form, table, branches)

    def grow(self, form: Form, lanes: int = 0) -> None:
        """Take a larger column space; see `Memory.grow`."""
        old, before = self._space, self._lanes
        with self._stage.guarded("a larger column space"):
            self._allocate(form, max(self.lanes, lanes))
            self._rounds.forget()
            self._space.registers[:, : old.record.form.registers] = old.registers
            self._space.states.copy_(old.states)
            for buffers, former in zip(self._lanes, before, strict=True):
                buffers.restore(former.bank, old.record.form.branches)
            for slot in self._live.values():
                self._space.pages[slot.index] = self._pages.addresses(slot, form)
        for lease in list(self._leases.values()):
            self.write_rows(lease)

    def write_rows(self, lease: Lease) -> None:
        """Write a table's rows to its place in the arena."""
        for offset, other in tuple(self._leases.items()):
            if offset < lease.end and lease.offset < other.end:
                del self._leases[offset]
        self._leases[lease.offset] = lease
        place = slice(lease.offset, lease.end)
        worked_out = instructions(lease.table, self._layout, self.form)
        self._rows[place] = worked_out
        with self._stage.guarded("a table"):
            self._passes.prepare(lease.table)
            encoded = encode_rows(lease.table, worked_out, self._space.record)
            for target, values in zip(self._space.rows, encoded, strict=True):
                target[place] = self._stage.upload(np.asarray(values))

    def admit(self, slot: Slot) -> None:
        """Put a work into its slot and run its prologue; see `Memory.admit`."""
        with self._stage.guarded("a slot"):
            self._pages.admit(slot)
            self._space.registers[slot.index] = 0.0
            self._passes.carry(slot.index)
            self._enter(slot)
            launch.step(self._space, slot=slot.index)

    def park(self, slot: Slot) -> Parked:
        """Take a work out of its slot; see `Memory.park`."""
        count = slot.work.table.form.registers
        registers = self._space.registers[slot.index, :count, : self._layout.elements]
        with self._stage.guarded("parking"):
            return Parked(
                slot.counter,
                self._stage.download(registers),
                self._stage.download(self._passes.carried(slot.index)),
                self._pages.tapes(slot),
                int(self._stage.download(self._space.states[slot.index])[r.STATUS]),
            )

    def resume(self, slot: Slot, parked: Parked) -> None:
        """Put a parked work into a slot; see `Memory.resume`."""
        with self._stage.guarded("resuming"):
            self._pages.admit(slot, parked.tapes)
            registers = self._stage.upload(parked.registers)
            self._space.registers[slot.index] = 0.0
            place = self._space.registers[slot.index, : len(registers), : self._layout.elements]
            place.copy_(registers)
            self._passes.carry(slot.index, self._stage.upload(parked.carried))
            self._enter(slot, parked.status)

    def _enter(self, slot: Slot, status: int = 0) -> None:
        """Conditions, addresses of pages and state of a slot that has no lanes yet."""
        for lanes in self._lanes:
            lanes.write_conditions(slot)
        work, index = slot.work, slot.index
        self._space.lanes[index] = 0
        self._space.pages[index] = self._pages.addresses(slot, self.form)
        words = [*key_words(work.seed), work.image, LATENT + 256 * work.loop]
        state = np.array([slot.offset, slot.counter, *words, status, 0], np.uint32)
        self._space.states[index] = self._stage.upload(state.view(np.int32))
        self._live[index] = slot

    def map_lanes(self, lanes: LaneMap, slots: Sequence[Slot]) -> None:
        """Take a new lane map and gather inputs and conditions into their lanes."""
        table = np.zeros(self._space.lanes.shape, np.int64)
        with self._stage.guarded("a lane map"):
            for own, mapped in zip(self._lanes, lanes.lanes, strict=True):
                own.map_lanes(mapped, table)
            self._space.lanes.copy_(self._stage.upload(table))
            self._leave(slots)
            if slots:
                launch.feed(self._space)

    def _leave(self, slots: Sequence[Slot]) -> None:
        """Idle the slots whose works have gone; one that has run its last row idles itself."""
        seated = {slot.index: slot for slot in slots}
        gone = [index for index in self._live if index not in seated]
        if gone:
            offsets = self._space.states[:, r.OFFSET]
            offsets.index_fill_(0, self._stage.upload(np.array(gone)), r.IDLE)
        self._live = seated

    def buffers(self, engine: int, first: int, count: int) -> Mapping[str, Tensor]:
        """The buffers of an engine's lanes first .. first + count - 1."""
        return self._lanes[engine].slices(first, count)

    def bind(self, engine: int, first: int, bucket: int) -> Bound:
        """An engine's call on its lanes first .. first + bucket - 1; see `Memory.bind`.

        What the engine allocates and copies for it is ordered by the stream that it will run on.
        """
        with self._stage.guarded("an engine call"):
            return self._denoisers[engine].engine.bind(bucket, self.buffers(engine, first, bucket))

    def tick(self, calls: Sequence[Bound], slots: Sequence[Slot]) -> Update:
        """Launch one round and see what the last one brought; see `Memory.tick`.

        The host is one round ahead of the device, except where a work ends or shows a preview.
        """
        wanted = self._wanted(slots)
        key = TickKey(tuple(calls), self.form, wanted)
        with self._stage.guarded("a tick"), self._stage.ranges.span("tick"):
            self._rounds.run(key, partial(self._launch, calls, wanted))
            now = Behind(self._stage.read(self._space.states), tuple(slots))
            known = [] if self._behind is None else self._behind.failures()
            is_read = any(_is_read(slot) for slot in slots)
            if is_read:
                known += now.failures()
            self._behind = None if is_read else now
        return Update(perf_counter_ns(), known)

    def warm(self, calls: Sequence[Sequence[Bound]]) -> None:
        """Compile kernels and capture rounds; see `Memory.warm`."""
        with self._stage.guarded("warming"):
            if not self._live:  # kernels come into being, and nothing happens: no slot has a work
                self._passes.run(self._space, Wanted(True, self._space.record.has_operations))
                for space in self._passes.spaces(self._space):
                    launch.step(space)
            for each in calls:
                key = TickKey(tuple(each), self.form, Wanted())
                for lanes in self._lanes:
                    lanes.cast()
                for call in each:
                    call.run(self._stage.stream)
                self._rounds.capture(key, partial(self._launch, each, Wanted()))

    def _wanted(self, slots: Sequence[Slot]) -> Wanted:
        rows = (self._rows[slot.offset + slot.counter] for slot in slots)
        return Wanted.of(row for row in rows if row)

    def _launch(self, calls: Sequence[Bound], wanted: Wanted) -> None:
        """The work of one round: a function of device memory alone."""
        with self._stage.ranges.span("engine"):
            for lanes in self._lanes:
                lanes.cast()
            for call in calls:
                call.run(self._stage.stream)
        with self._stage.ranges.span("step"):
            self._passes.run(self._space, wanted)
            launch.step(self._passes.space(self._space, wanted))

    def latent(self, slot: Slot) -> Array:
        """A copy of a slot's R_0."""
        last = self._rows[slot.offset + slot.counter - 1]
        register = self._space.registers[slot.index, last.pending if last else 0]
        with self._stage.guarded("a finished latent"):
            return self._stage.download(register[: self._layout.elements])

    def preview(self, slot: Slot) -> Array:
        """A copy of what the last row put on a slot's last tape; see `Memory.preview`."""
        with self._stage.guarded("a preview"):
            return self._pages.preview(slot)

    def tapes(self, slot: Slot) -> tuple[Array, ...]:
        """What a slot's taps recorded; the arrays are the caller's."""
        with self._stage.guarded("tapes"):
            return self._pages.tapes(slot)

    def nbytes(self, form: Form, lanes: int = 0) -> int:
        """What this memory holds with a column space; see `Memory.nbytes`."""
        shape = self._slots, form.branches, max(self.lanes, lanes)
        buffers = sum(lane_bytes(each, *shape) for each in self._denoisers)
        return space_bytes(self._layout, form, self._slots, len(self._rows)) + buffers

    def counts(self) -> Mapping[str, float]:
        """Of its graphs; see `Memory.counts`."""
        return self._rounds.counts()


def _is_read(slot: Slot) -> bool:
    """Whether the host reads what this round leaves in a slot: its end or a preview."""
    return slot.counter == slot.work.table.stages or slot.has_preview
