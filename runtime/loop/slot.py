"""The place of one picture while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.errors import DenoiseRTError, InvalidInput
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
        priority: higher ones get a slot first and park lower ones.
        previews: the table's last tape shows the clean estimate of every k-th step; 0 if it has no
            such tape.
    """

    table: SamplerTable
    asks: tuple[tuple[Ask, ...], ...]
    conditions: tuple[Mapping[str, Array], ...]
    seed: int
    image: int = 0
    externals: Mapping[str, Array] = field(default_factory=dict)
    loop: int = 0
    priority: int = 0
    previews: int = 0

    def check(self, elements: int, denoisers: Sequence[Denoiser]) -> None:
        """Refuse a work that lacks what its table reads.

        Args:
            elements: of the pool's state.
            denoisers: of the pool.

        Raises:
            InvalidInput: a condition, an external, the tape of previews, an output port or a
                scalar input is missing.
        """
        for engine, denoiser in enumerate(denoisers):
            denoiser.check(self.table, engine)
        asked = int(self.table.condition.max(initial=-1)) + 1
        if asked > len(self.conditions):
            raise InvalidInput(
                f"the table evaluates {asked} conditions, the work has {len(self.conditions)}."
            )
        if self.previews and not self.table.form.taps:
            raise InvalidInput("the work wants previews, its table has no tape for them.")
        pages = self.table.external_index.max(axis=0, initial=-1) + 1
        for name, count in zip(self.table.externals, pages.tolist(), strict=True):
            shape = self.externals[name].shape if name in self.externals else ()
            if len(shape) != 2 or shape[0] < count or shape[1] != elements:
                raise InvalidInput(
                    f"the table reads {count} pages of {elements} numbers of external {name!r}, "
                    f"the work has {shape or 'none'}."
                )


@dataclass(slots=True)
class Outcome:
    """What became of one work.

    Args:
        latent: final state, (elements,) float32; None when it failed.
        tapes: what the taps recorded, per tape (pages, elements); that of previews is left out.
        error: why it failed.
    """

    latent: NDArray[np.float32] | None = None
    tapes: tuple[Array, ...] = ()
    error: DenoiseRTError | None = None


class Preview(NamedTuple):
    """What a running work would end in.

    Args:
        number: of the work.
        step: whole steps done.
        latent: guided clean estimate, (elements,), the receiver's own.
    """

    number: int
    step: int
    latent: NDArray[np.float32]


class Progress(NamedTuple):
    """How far a work has come: steps of its grid and rows of its table, done and in all."""

    step: int
    steps: int
    stage: int
    stages: int

    @classmethod
    def of(cls, table: SamplerTable, counter: int) -> Progress:
        """With `counter` the next row; 0 before the prologue."""
        row = max(counter - 1, 0)
        return cls(int(table.steps[row]), int(table.steps[-1]), row, table.stages)


@dataclass(slots=True)
class Slot:
    """A work in its place of the pool.

    Args:
        index: the place.
        work: what runs there.
        offset: first row of its table in the arena.
        counter: next row, the program counter; row 0 is the prologue.
        number: of the work in its pool.
    """

    index: int
    work: Work
    offset: int
    counter: int = 0
    number: int = 0

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

    @property
    def has_preview(self) -> bool:
        """Whether the next row leaves a preview."""
        return bool(self.work.previews and self.work.table.tap_index[self.counter, -1] >= 0)
