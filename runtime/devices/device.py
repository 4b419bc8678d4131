"""What a loop asks of the device that holds its pool's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.step.form import Form
from denoisert.runtime.devices.parked import Parked
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.engine import Buffer
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.loop.arena import Lease
from denoisert.runtime.loop.lanes import LaneMap
from denoisert.runtime.loop.slot import Slot

SMALLEST = Form(registers=4, branches=2)
"""The column space that every pool starts with."""


def grown(have: Form, wanted: Form) -> Form:
    """The column space of a pool after it admits a table: K is 4, then 8; the rest as needed."""
    registers = 8 if wanted.registers > have.registers else have.registers
    return Form(registers, *map(max, have[1:], wanted[1:]))


class Memory(Protocol):
    """Registers, lane buffers, condition banks and rows of one pool."""

    form: Form

    def grow(self, form: Form) -> None:
        """Take a larger column space; running slots keep their registers, buffers move."""
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

    def step(self, slots: Sequence[Slot]) -> Sequence[Slot]:
        """Update every slot by its next row and feed its lanes for the row after.

        Returns:
            Slots whose latent is no longer finite.
        """
        ...

    def latent(self, slot: Slot) -> NDArray[np.float32]:
        """A copy of a slot's R_0."""
        ...

    def tapes(self, slot: Slot) -> tuple[NDArray[Any], ...]:
        """What a slot's taps recorded; the arrays are the caller's once the slot has ended."""
        ...

    def nbytes(self, form: Form) -> int:
        """What this memory holds, or would hold with another column space.

        Args:
            form: the column space.

        Returns:
            Bytes of columns, scratch, lanes and banks; tapes and parked works are not in it.
        """
        ...


class Device(Protocol):
    """Where a pool lives."""

    name: str

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
