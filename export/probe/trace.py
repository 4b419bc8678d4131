"""One run of a foreign sampler on coordinate vectors.

    coordinates  x_T | what is drawn before F_0 | F_0 | what is drawn before F_1 | F_1 | ...

Every latent is the vector of its coefficients over x_T, each network output F_s and each noise draw
xi_q, so every network input and the final sample come out as exact linear combinations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import torch
from numpy.typing import NDArray

from denoisert.export.probe.foreign import Foreign, values
from denoisert.export.probe.linearity import Latent
from denoisert.export.probe.source import Source
from denoisert.runtime.errors import ExportError

Array = NDArray[np.float64]

FIRST_CAPACITY = 256
LARGEST_CAPACITY = 1 << 12


class Kind(Enum):
    """What a coordinate stands for."""

    START = "start"
    DRAW = "draw"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Trace:
    """A sampler as linear forms.

    Args:
        inputs: (S, coordinates), input of the network at every stage, as the source passes it.
        final: (coordinates,), the sample.
        kinds: what each coordinate is, in order of appearance.
        times: (S,), what the network was told.
    """

    inputs: Array
    final: Array
    kinds: tuple[Kind, ...]
    times: tuple[float, ...]

    @property
    def stages(self) -> int:
        """S, network evaluations."""
        return len(self.inputs)

    @property
    def outputs(self) -> list[int]:
        """Coordinate of every F_s."""
        return [index for index, kind in enumerate(self.kinds) if kind is Kind.OUTPUT]

    def drawn(self, boundary: int) -> list[int]:
        """Coordinates drawn between F_{boundary - 1} and F_boundary; 0 is before any output."""
        outputs = self.outputs
        first = outputs[boundary - 1] + 1 if boundary else 1
        last = outputs[boundary] if boundary < len(outputs) else len(self.kinds)
        return list(range(first, last))


class _Full(Exception):
    """More coordinates are needed than were made room for."""


@dataclass(slots=True)
class _Tracer:
    """Hands out unit vectors and notes the inputs of the network."""

    capacity: int
    kinds: list[Kind] = field(default_factory=list)
    inputs: list[Array] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, 1, 1, self.capacity)

    def fresh(self, kind: Kind) -> torch.Tensor:
        if len(self.kinds) == self.capacity:
            raise _Full
        unit = torch.zeros(self.shape, dtype=torch.float64)
        unit[..., len(self.kinds)] = 1.0
        self.kinds.append(kind)
        return unit.as_subclass(Latent)

    def where(self) -> str:
        return f"stage {len(self.inputs) - 1}" if self.inputs else "before the first stage"

    def run(self, source: Source) -> Trace:
        foreign = Foreign(
            lambda: self.fresh(Kind.DRAW), self.shape, lambda: f"{source.name}, {self.where()}"
        )

        def network(latent: torch.Tensor, time: float) -> torch.Tensor:
            with foreign.ours():
                _check(source, latent, self.shape)
                self.inputs.append(values(latent))
                self.times.append(time)
                return self.fresh(Kind.OUTPUT)

        start = self.fresh(Kind.START)
        final = foreign.run(source, network, start)
        _check(source, final, self.shape)
        if not self.inputs:
            raise ExportError(f"{source.name} never asked the network; nothing to put in a table.")
        used = len(self.kinds)
        inputs, sample = np.stack(self.inputs)[:, :used], values(final)[:used]
        wrong = np.flatnonzero(~np.isfinite([*inputs, sample]).all(axis=1))
        if wrong.size:
            what = "its sample" if wrong[0] == len(inputs) else f"the input of stage {wrong[0]}"
            raise ExportError(
                f"{source.name}: {what} is not finite in the source itself. Change its settings."
            )
        return Trace(inputs, sample, tuple(self.kinds), tuple(self.times))


def trace(source: Source) -> Trace:
    """Run a source once on coordinate vectors.

    Raises:
        UnsupportedOperator: it does something that is not linear in the latents.
        ExportError: it lost the latent's type or shape, or never asked the network.
    """
    capacity = FIRST_CAPACITY
    while capacity <= LARGEST_CAPACITY:
        try:
            return _Tracer(capacity).run(source)
        except _Full:
            capacity *= 4
    raise ExportError(
        f"{source.name} has more than {LARGEST_CAPACITY} evaluations and draws. Ask for fewer "
        "steps; a sampler that stops by itself is no table."
    )


def _check(source: Source, latent: torch.Tensor, shape: tuple[int, ...]) -> None:
    if not isinstance(latent, Latent) or tuple(latent.shape) != shape:
        raise ExportError(
            f"{source.name} made a {type(latent).__name__} of shape {tuple(latent.shape)} out of "
            f"a latent of shape {shape}. A table keeps the latent's shape."
        )
