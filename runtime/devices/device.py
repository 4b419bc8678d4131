"""What a loop asks of the device that holds its pool's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.step.form import Form
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
        """Copies of what a slot's taps recorded."""
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
