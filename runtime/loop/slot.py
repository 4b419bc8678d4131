"""The place of one picture while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import DenoiseRTError
from denoisert.runtime.loop.asks import Ask
from denoisert.runtime.sampling.table import SamplerTable

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Work:
    """One picture to compute.

    Args:
        table: its sampler.
        asks: what each row evaluates (`row_asks`).
        conditions: for each condition of the table, input name -> values of one lane.
        seed: of the request, 0 .. 2^64 - 1.
        image: number of the picture in its request.
        externals: name -> (pages, elements) float32.
        loop: number of the loop in its program.
    """

    table: SamplerTable
    asks: tuple[tuple[Ask, ...], ...]
    conditions: tuple[Mapping[str, Array], ...]
    seed: int
    image: int = 0
    externals: Mapping[str, Array] = field(default_factory=dict)
    loop: int = 0


@dataclass(slots=True)
class Outcome:
    """What became of one work.

    Args:
        latent: final state, (elements,) float32; None when it failed.
        tapes: what the taps recorded, per tape (pages, elements).
        error: why it failed.
    """

    latent: NDArray[np.float32] | None = None
    tapes: tuple[Array, ...] = ()
    error: DenoiseRTError | None = None


@dataclass(slots=True)
class Slot:
    """A work in its place of the pool.

    Args:
        index: the place.
        work: what runs there.
        offset: first row of its table in the arena.
        counter: next row, the program counter; row 0 is the prologue.
    """

    index: int
    work: Work
    offset: int
    counter: int = 0

    @property
    def asks(self) -> tuple[Ask, ...]:
        """Branches of the next row."""
        return self.work.asks[self.counter]

    @property
    def keeps_lanes(self) -> bool:
        """Whether the row after the next one exists and asks the same."""
        asks, after = self.work.asks, self.counter + 1
        return after < len(asks) and asks[after] is asks[self.counter]

    @property
    def is_done(self) -> bool:
        """Whether every row has run."""
        return self.counter > self.work.table.stages
