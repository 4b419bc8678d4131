"""The canonical columns that solvers write over, and what else a row can say.

    columns  R_0 .. R_{K-1} | D E W G O_0 O_1 | xi_0 xi_1 | X_0 .. X_{E-1} | 1

D is the clean estimate and E the noise estimate of a stage, x = alpha D + sigma E. W is the
network's raw second output, a learned variance. G is what a rule of the solver makes of its
vectors, O_0 and O_1 what its own operations make of their arguments; most solvers have none of
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.step.form import ARGUMENTS
from denoisert.kernels.step.row import Operation
from denoisert.runtime.errors import InvalidTable

Vector = NDArray[np.float64]

MAX_REGISTERS = 8
MAX_EXTERNALS = 16
MAX_TAPS = 4
MAX_DRAWS = 2
MAX_PRODUCTS = 16

# Columns between the registers and the draws: D, E, W, G, O_0, O_1.
DENOISED, NOISE, VARIANCE, GUIDED, RESULT = range(5)
ESTIMATES = RESULT + ARGUMENTS


class Everywhere(NamedTuple):
    """The map that is 1 on every element."""


class ExternalMap(NamedTuple):
    """The map held by the external at `position`."""

    position: int


class EstimateMap(NamedTuple):
    """The map O_0 or O_1, result of an operation; in a table D_0 or D_1."""

    position: int


class RangeMap(NamedTuple):
    """1 on `channels` channels of one part from `first` on, 0 elsewhere; channels 0 means all."""

    part: int
    first: int = 0
    channels: int = 0


Map = Everywhere | ExternalMap | EstimateMap | RangeMap


class Term(NamedTuple):
    """One product: R'_register += gain * map * source, with source a vector over the columns."""

    register: int
    gain: float
    map: Map
    source: Vector


class Weighing(NamedTuple):
    """G = sum_m g_m V_m, with g computed on the device by a rule from the vectors' products.

    Args:
        rule: its id in `denoisert.kernels.rule`.
        args: its arguments, at most 8.
        vectors: V_m over the columns, without operations.
    """

    rule: int
    args: tuple[float, ...]
    vectors: tuple[Vector, ...]


class Applied(NamedTuple):
    """O = op(argument; low, high).

    Args:
        operation: which one.
        low: its first number.
        high: its second number.
        argument: a vector over the columns; that of O_1 may read O_0.
    """

    operation: Operation
    low: float
    high: float
    argument: Vector


@dataclass(frozen=True, slots=True)
class Basis:
    """The unit vectors of the canonical columns.

    Args:
        count: K, registers of latent size.
        externals: names of the read-only buffers X_e.
    """

    count: int
    externals: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_REGISTERS or len(self.externals) > MAX_EXTERNALS:
            raise InvalidTable(
                f"{self.count} registers and {len(self.externals)} externals; a table holds "
                f"1 to {MAX_REGISTERS} and at most {MAX_EXTERNALS}."
            )

    @property
    def width(self) -> int:
        """Number of canonical columns."""
        return self.first_external + len(self.externals) + 1

    @property
    def first_draw(self) -> int:
        """Column of xi_0."""
        return self.count + ESTIMATES

    @property
    def first_external(self) -> int:
        """Column of X_0."""
        return self.first_draw + MAX_DRAWS

    def unit(self, column: int) -> Vector:
        """The vector that is 1 at `column`."""
        vector = np.zeros(self.width)
        vector[column] = 1.0
        return vector

    @property
    def registers(self) -> tuple[Vector, ...]:
        """R_0 (the pending network input), R_1, ..."""
        return tuple(self.unit(index) for index in range(self.count))

    @property
    def denoised(self) -> Vector:
        """D, the clean estimate."""
        return self.unit(self.count + DENOISED)

    @property
    def noise(self) -> Vector:
        """E, the noise estimate."""
        return self.unit(self.count + NOISE)

    @property
    def variance(self) -> Vector:
        """W, the raw second output of the first condition's network, at its port 1."""
        return self.unit(self.count + VARIANCE)

    @property
    def guided(self) -> Vector:
        """G, made by the solver's rule."""
        return self.unit(self.count + GUIDED)

    @property
    def results(self) -> tuple[Vector, Vector]:
        """O_0 and O_1, made by the solver's operations."""
        return self.unit(self.count + RESULT), self.unit(self.count + RESULT + 1)

    @property
    def draws(self) -> tuple[Vector, Vector]:
        """xi_0 and xi_1, fresh standard normal draws."""
        return self.unit(self.first_draw), self.unit(self.first_draw + 1)

    def external(self, index: int) -> Vector:
        """X_index."""
        return self.unit(self.first_external + index)

    @property
    def one(self) -> Vector:
        """The constant 1."""
        return self.unit(self.width - 1)
