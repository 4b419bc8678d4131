"""The CPU device: NumPy arrays and the CPU kernels, slot by slot.

Every slot has its columns in one block, so an update is a gather of the few columns that exist and
one small matrix product. While the lane map stays, `step` reads predictions from the engines'
output lanes and writes the next inputs straight into their input lanes; nothing of latent size is
allocated in a tick.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.philox import cpu as philox
from denoisert.kernels.quantile import cpu as quantile
from denoisert.kernels.rule import VECTORS
from denoisert.kernels.step import cpu as kernel
from denoisert.kernels.step.form import VECTORS as VECTOR_ROWS
from denoisert.kernels.step.form import Form
from denoisert.runtime.devices.buffers import LaneBuffers, SlotViews, lane_bytes, write_scaled
from denoisert.runtime.devices.device import SMALLEST, Failure, Update, grown
from denoisert.runtime.devices.instructions import Instruction, instructions
from denoisert.runtime.devices.parked import Parked
from denoisert.runtime.devices.rules import CARRIED, RuleScratch
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.engine import Bound, Buffer
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.loop.arena import Lease
from denoisert.runtime.loop.lanes import LaneMap
from denoisert.runtime.loop.slot import Slot
from denoisert.runtime.sampling.table import SamplerTable

Array = NDArray[np.float32]
Weights = NDArray[np.float64]

WORKSPACE_BYTES = 2**19
"""What noise and rules work in, at most; it does not grow with the latent."""


class NumpyDevice:
    """This machine's CPU."""

    name = "cpu"
    title: str | None = None

    def memory(
        self, layout: StateLayout, denoisers: Sequence[Denoiser], *, slots: int, rows: int
    ) -> NumpyMemory:
        """Memory of a new pool; see `Device.memory`."""
        return NumpyMemory(layout, denoisers, slots, rows)


class NumpyMemory:
    """Memory of one pool on a CPU; see `Memory`."""

    def __init__(
        self, layout: StateLayout, denoisers: Sequence[Denoiser], slots: int, rows: int
    ) -> None:
        self._layout, self._slots, self._denoisers = layout, slots, tuple(denoisers)
        self._rows: list[Instruction | None] = [None] * rows
        self._leases: dict[int, Lease] = {}
        self._views: list[SlotViews] = [SlotViews() for _ in range(slots)]
        self._tapes: list[tuple[Array, ...]] = [() for _ in range(slots)]
        self._carried = np.zeros((slots, 1 + layout.channels, CARRIED))
        self._noise = philox.workspace(layout.elements)
        self._sorted = quantile.workspace(layout.elements)
        self._rules = RuleScratch(layout.channels)
        self._allocate(SMALLEST, SMALLEST.branches)

    def _allocate(self, form: Form, lanes: int) -> None:
        """Take a column space; when the machine has no room for it, the old one stays."""
        columns = np.zeros((self._slots, form.columns, self._layout.elements), np.float32)
        columns[:, form.one] = 1.0
        scratch = kernel.workspace(form, self._layout.elements)
        buffers = [LaneBuffers(each, self._slots, form.branches, lanes) for each in self._denoisers]
        self._columns, self._scratch, self._lanes = columns, scratch, buffers
        self.form, self.lanes = form, lanes

    def wider(self, form: Form, table: SamplerTable, branches: int = 0) -> Form:
        """The column space that holds another one and a table; see `Memory.wider`."""
        return grown(form, table.form._replace(branches=max(table.form.branches, branches)))

    def grow(self, form: Form, lanes: int = 0) -> None:
        """Take a larger column space; see `Memory.grow`."""
        old, was, before = self._columns, self.form, self._lanes
        self._allocate(form, max(self.lanes, lanes))
        self._columns[:, : was.registers] = old[:, : was.registers]
        for buffers, former in zip(self._lanes, before, strict=True):
            buffers.restore(former.bank, was.branches)
        for lease in list(self._leases.values()):
            self.write_rows(lease)

    def write_rows(self, lease: Lease) -> None:
        """Write a table's rows to its place in the arena."""
        for offset, other in tuple(self._leases.items()):
            if offset < lease.end and lease.offset < other.end:
                del self._leases[offset]
        self._leases[lease.offset] = lease
        self._rows[lease.offset : lease.end] = instructions(lease.table, self._layout, self.form)

    def admit(self, slot: Slot) -> None:
        """Put a work into its slot and run its prologue; see `Memory.admit`."""
        self._enter(slot)
        self._carried[slot.index] = 0.0
        self._tapes[slot.index] = tuple(
            np.zeros((count, self._layout.elements), np.float32)
            for count in slot.work.table.tape_pages
        )
        self._update(slot)

    def park(self, slot: Slot) -> Parked:
        """Take a work out of its slot; see `Memory.park`."""
        registers = self._columns[slot.index, : slot.work.table.form.registers]
        return Parked(
            slot.counter,
            registers.copy(),
            self._carried[slot.index].copy(),
            self._tapes[slot.index],
        )

    def resume(self, slot: Slot, parked: Parked) -> None:
        """Put a parked work into a slot; see `Memory.resume`."""
        self._enter(slot)
        self._columns[slot.index, : len(parked.registers)] = parked.registers
        self._carried[slot.index] = parked.carried
        self._tapes[slot.index] = parked.tapes

    def _enter(self, slot: Slot) -> None:
        """Empty registers, the work's conditions, no lanes yet."""
        self._columns[slot.index, : self.form.registers] = 0.0
        for lanes in self._lanes:
            lanes.write_conditions(slot)
        self._views[slot.index] = SlotViews()

    def map_lanes(self, lanes: LaneMap, slots: Sequence[Slot]) -> None:
        """Take a new lane map and gather inputs and conditions into their lanes."""
        for slot in slots:
            self._views[slot.index] = SlotViews()
        for engine, buffers in enumerate(self._lanes):
            buffers.map_lanes(lanes.lanes[engine], self._columns, self.form, self._views)
        for slot in slots:
            self._feed(slot, self._row(slot))

    def buffers(self, engine: int, first: int, count: int) -> dict[str, Buffer]:
        """The buffers of an engine's lanes first .. first + count - 1."""
        return self._lanes[engine].slices(first, count)

    def bind(self, engine: int, first: int, bucket: int) -> Bound:
        """An engine's call on its lanes first .. first + bucket - 1; see `Memory.bind`."""
        return self._denoisers[engine].engine.bind(bucket, self.buffers(engine, first, bucket))

    def tick(self, calls: Sequence[Bound], slots: Sequence[Slot]) -> Update:
        """Run the engines and update every slot; see `Memory.tick`."""
        for call in calls:
            call.run()
        engine_end = perf_counter_ns()
        return Update(engine_end, [Failure(slot, slot.counter) for slot in self.step(slots)])

    def warm(self, calls: Sequence[Sequence[Bound]]) -> None:
        """Run the engines once at every bucket; see `Memory.warm`."""
        for call in dict.fromkeys(call for each in calls for call in each):
            call.run()

    def step(self, slots: Sequence[Slot]) -> list[Slot]:
        """Update every slot by its next row and feed its lanes for the row after.

        Returns:
            Slots whose latent is no longer finite.
        """
        failed = []
        for slot in slots:
            for target, source in self._views[slot.index].predictions:
                target[...] = source
            if not self._update(slot):
                failed.append(slot)
            elif slot.keeps_lanes:
                self._feed(slot, self._rows[slot.offset + slot.counter + 1])
        return failed

    def latent(self, slot: Slot) -> Array:
        """A copy of a slot's R_0."""
        last = self._rows[slot.offset + slot.counter - 1]
        latent: Array = self._columns[slot.index, last.pending if last else 0]
        return latent.copy()

    def preview(self, slot: Slot) -> Array:
        """A copy of what the last row put on a slot's last tape; see `Memory.preview`."""
        page: Array = self._tapes[slot.index][-1][0]
        return page.copy()

    def tapes(self, slot: Slot) -> tuple[Array, ...]:
        """What a slot's taps recorded; the arrays are the caller's."""
        return self._tapes[slot.index]

    def counts(self) -> dict[str, float]:
        """Nothing is counted here."""
        return {}

    def nbytes(self, form: Form, lanes: int = 0) -> int:
        """What this memory holds with a column space; see `Memory.nbytes`."""
        scratch = form.columns + form.registers + form.taps + VECTOR_ROWS + 2
        latents = self._slots * form.columns + scratch
        space = self._slots, form.branches, max(self.lanes, lanes)
        buffers = sum(lane_bytes(each, *space) for each in self._denoisers)
        rules = self._carried.nbytes + self._rules.nbytes + WORKSPACE_BYTES
        return latents * self._layout.elements * self._columns.itemsize + buffers + rules

    def _row(self, slot: Slot) -> Instruction | None:
        return self._rows[slot.offset + slot.counter]

    def _feed(self, slot: Slot, instruction: Instruction | None) -> None:
        """Write what the next row asks into the slot's lanes."""
        if instruction is None:
            return
        views = self._views[slot.index]
        columns = self._columns[slot.index]
        for positions, span, lanes in views.inputs:
            if instruction.shared is not None:
                write_scaled(lanes, columns[instruction.shared[0], span], instruction.shared[1])
                continue
            for lane, (register, scale) in zip(lanes, instruction.sources[positions], strict=True):
                write_scaled(lane, columns[register, span], scale)
        for positions, times in views.times:
            times[:] = instruction.times[positions]
        for positions, index, scalars in views.scalars:
            scalars[:] = instruction.scalars[positions, index]

    def _update(self, slot: Slot) -> bool:
        """Run one row on one slot; return whether R_0 is finite."""
        instruction = self._row(slot)
        if instruction is None:
            return False
        columns = self._columns[slot.index]
        if instruction.draws:
            self._draw(slot, instruction, columns)
        for column, name, page in instruction.pages:
            columns[column] = slot.work.externals[name][page]
        terms = instruction.row.registers
        if instruction.plain is not None and terms is not None:
            # The terms are gathered first, so the product may overwrite what it came from.
            kernel.combine(columns, terms, out=columns[instruction.plain], workspace=self._scratch)
        else:
            self._evaluate(slot, instruction, columns)
        return _is_finite(columns[instruction.pending])

    def _evaluate(self, slot: Slot, instruction: Instruction, columns: Array) -> None:
        """Run a row that has more than linear terms."""
        weights = self._weights(slot, instruction, columns) if instruction.rule else None
        thresholds = (0.0, 0.0)
        if instruction.has_quantile:
            thresholds = kernel.thresholds(
                columns, instruction.row, self._quantile, weights=weights, workspace=self._scratch
            )
        registers, taps = kernel.step(
            columns,
            instruction.row,
            weights=weights,
            thresholds=thresholds,
            workspace=self._scratch,
        )
        for (tape, page), value in zip(instruction.tapes, taps, strict=True):
            self._tapes[slot.index][tape][page] = value
        for target, value in zip(instruction.row.targets, registers, strict=True):
            columns[target] = value

    def _draw(self, slot: Slot, instruction: Instruction, columns: Array) -> None:
        work = slot.work
        for column, draw in instruction.draws:
            philox.normals(
                work.seed,
                draw=draw,
                image=work.image,
                count=self._layout.elements,
                loop=work.loop,
                out=columns[column],
                workspace=self._noise,
            )

    def _quantile(self, values: Array, ratio: float) -> float:
        return quantile.quantile(values, ratio, workspace=self._sorted)

    def _weights(self, slot: Slot, instruction: Instruction, columns: Array) -> Weights | None:
        terms = instruction.row.vectors
        if terms is None:
            return None
        count = VECTORS[instruction.rule]
        vectors = self._scratch.vectors[:count]
        kernel.combine(columns, terms, out=vectors, workspace=self._scratch)
        return self._rules.weights(instruction, vectors, self._carried[slot.index])


def _is_finite(values: Array) -> bool:
    """Whether every value is finite: a sum is enough unless it overflows itself."""
    return math.isfinite(np.add.reduce(values)) or bool(np.isfinite(values).all())
