"""What a loop asks of the device that holds its pool's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.step.form import Form
from denoisert.runtime.devices.parked import Parked
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.engine import Bound, Buffer
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.loop.arena import Lease
from denoisert.runtime.loop.lanes import LaneMap
from denoisert.runtime.loop.slot import Slot
from denoisert.runtime.sampling.table import SamplerTable

SMALLEST = Form(registers=4, branches=2)
"""The column space that every pool starts with."""


def grown(have: Form, wanted: Form) -> Form:
    """The column space of a pool after it admits a table: K is 4, then 8; the rest as needed."""
    registers = 8 if wanted.registers > have.registers else have.registers
    return Form(registers, *map(max, have[1:], wanted[1:]))


class Failure(NamedTuple):
    """A slot whose latent is no longer finite, and the row that made it so."""

    slot: Slot
    row: int


class Update(NamedTuple):
    """What one round of a pool brought.

    Args:
        engine_end: when the engines were through, nanoseconds of the host's monotonic clock.
        failed: slots that are no longer finite; a device may tell one round late, but always in
            the round of a work's last row.
    """

    engine_end: int
    failed: Sequence[Failure]


class Memory(Protocol):
    """Registers, lane buffers, condition banks and rows of one pool.

    Attributes:
        form: the column space.
        lanes: most lanes of one slot, at least as many as `SMALLEST` has branches; branches that
            share one need no more of them.
    """

    form: Form
    lanes: int

    def wider(self, form: Form, table: SamplerTable, branches: int = 0) -> Form:
        """The column space that holds another one and a table.

        Args:
            form: what has to fit already.
            table: what has to fit, too.
            branches: B at least, as a work has a condition in the bank for each.
        """
        ...

    def grow(self, form: Form, lanes: int = 0) -> None:
        """Take a larger column space; running slots keep their registers, buffers move.

        Args:
            form: the column space.
            lanes: that a slot must have at least; it never has fewer than before.
        """
        ...

    def write_rows(self, lease: Lease) -> None:
        """Write a table's rows to its place in the arena."""
        ...

    def admit(self, slot: Slot) -> None:
        """Put a work into its slot and run its prologue."""
        ...

    def park(self, slot: Slot) -> Parked:
        """Take a work out of its slot, which is free afterwards.

        Args:
            slot: between two ticks.

        Returns:
            All that the work needs to go on, in memory of its own.
        """
        ...

    def resume(self, slot: Slot, parked: Parked) -> None:
        """Put a parked work into a slot, not necessarily its old one.

        What follows is bit for bit what would have followed without the stop, also when the column
        space has grown meanwhile.

        Args:
            slot: its new place, the counter where it stood.
            parked: what `park` returned; it is the slot's afterwards.
        """
        ...

    def map_lanes(self, lanes: LaneMap, slots: Sequence[Slot]) -> None:
        """Take a new lane map and gather inputs and conditions into their lanes."""
        ...

    def buffers(self, engine: int, first: int, count: int) -> Mapping[str, Buffer]:
        """The buffers of an engine's lanes first .. first + count - 1."""
        ...

    def bind(self, engine: int, first: int, bucket: int) -> Bound:
        """An engine's call on its lanes first .. first + bucket - 1.

        Raises:
            EngineError: the engine or the device failed.
        """
        ...

    def tick(self, calls: Sequence[Bound], slots: Sequence[Slot]) -> Update:
        """Run the engines, update every slot by its next row and feed its lanes for the row after.

        Args:
            calls: of the engines, on this memory's buffers.
            slots: those that run.

        Raises:
            EngineError: an engine or the device failed; what it computed is lost.
        """
        ...

    def warm(self, calls: Sequence[Sequence[Bound]]) -> None:
        """Pay for the first time of some rounds; lanes lose their content, slots do not change.

        Args:
            calls: of each round.

        Raises:
            EngineError: an engine or the device failed.
        """
        ...

    def latent(self, slot: Slot) -> NDArray[np.float32]:
        """A copy of a slot's R_0."""
        ...

    def preview(self, slot: Slot) -> NDArray[np.float32]:
        """A copy of what the row that just ran has put on a slot's last tape."""
        ...

    def tapes(self, slot: Slot) -> tuple[NDArray[Any], ...]:
        """What a slot's taps recorded; the arrays are the caller's once the slot has ended."""
        ...

    def counts(self) -> Mapping[str, float]:
        """What this memory counts, by the names of `Runtime.stats`."""
        ...

    def nbytes(self, form: Form, lanes: int = 0) -> int:
        """What this memory holds, or would hold after it has grown.

        Args:
            form: the column space.
            lanes: as of `grow`.

        Returns:
            Bytes of columns, scratch, lanes and banks; tapes and parked works are not in it.
        """
        ...


class Device(Protocol):
    """Where a pool lives.

    Attributes:
        name: as options name it.
        title: of the accelerator, for device profiles; None for this machine's processor.
    """

    name: str
    title: str | None

    def memory(
        self, layout: StateLayout, denoisers: Sequence[Denoiser], *, slots: int, rows: int
    ) -> Memory:
        """Memory of a new pool.

        Args:
            layout: shape of the state.
            denoisers: the engines of the pool.
            slots: its capacity.
            rows: capacity of its arena.
        """
        ...
