"""What a slot's work keeps while another one has its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Parked:
    """Everything of a running work that lives across ticks; the rest is rewritten on its return.

    Args:
        counter: next row.
        registers: (K, elements), those of its table in their physical places.
        carried: scalars that its rules carry for the slot, then for each channel where a rule does
            so, (1 + channels, 4).
        tapes: what its taps have recorded, per tape (pages, elements).
        status: first row that was no longer finite, 0 for none: a device may know it before the
            host does.
    """

    counter: int
    registers: NDArray[np.float32]
    carried: NDArray[np.float64]
    tapes: tuple[NDArray[Any], ...]
    status: int = 0

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        tapes = sum(tape.nbytes for tape in self.tapes)
        return self.registers.nbytes + self.carried.nbytes + tapes
