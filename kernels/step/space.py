"""The memory of a pool as the step kernels take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from denoisert.kernels.step.record import Record, lane_width

Tensor = Any  # a torch.Tensor; nothing here needs the library


@dataclass(frozen=True, slots=True)
class Space:
    """The memory of a pool that the kernels of one column space read and write.

    Args:
        record: of the column space, one of `FORMS`.
        registers: (slots, K, pitch) float32; pitch is a multiple of 64.
        lanes: (slots, B, lane_width(parts)) int64 addresses, 0 where there is none: at b the
            prediction that branch b reads and what lane b of the slot is fed, both as if the part
            began at element 0 of the state, its time and its scalars.
        pages: (slots, E + T) int64 addresses of externals and tapes, each (pages, pitch) float32.
        rows: (rows, R.integers) int64, (rows, R.floats) float32 and rule arguments (rows, 8)
            float64.
        states: (slots, STATE) int32.
        found: weights of rules (slots, channels, 4) float32, thresholds (slots, 2) float32.
        tiles: (tiles, TILE) int32.
        dtype: of predictions and inputs.
        is_aligned: whether every part of every lane lies on 16 bytes and holds a multiple of 16
            elements.
    """

    record: Record
    registers: Tensor
    lanes: Tensor
    pages: Tensor
    rows: tuple[Tensor, Tensor, Tensor]
    states: Tensor
    found: tuple[Tensor, Tensor]
    tiles: Tensor
    dtype: Any
    is_aligned: bool

    @property
    def pitch(self) -> int:
        """Floats from one register to the next."""
        pitch: int = self.registers.shape[2]
        return pitch

    @property
    def parts(self) -> int:
        """Parts of the state."""
        parts: int = (self.lanes.shape[2] - lane_width(0)) // 2
        return parts

    @property
    def channels(self) -> int:
        """Channels that a rule tells apart."""
        channels: int = self.found[0].shape[1]
        return channels

    @property
    def places(self) -> tuple[Tensor, ...]:
        """The arguments that every kernel begins with."""
        return self.registers, self.lanes, self.pages, *self.rows[:2], self.states
