"""What a solver says: float64 rows over canonical columns, knowing no network and no guidance.

    columns  R_0 .. R_{K-1} | D | E | xi_0 xi_1 | X_0 .. X_{E-1} | 1

D is the clean estimate and E the noise estimate of a stage, x = alpha D + sigma E. A solver writes
its update as
arithmetic on the vectors of a `Basis`, so the code reads like the paper's formula; `Program`
collects the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidTable
from denoisert.runtime.sampling.grid import Grid, Point

Vector = NDArray[np.float64]

MAX_REGISTERS = 8
MAX_EXTERNALS = 16
MAX_TAPS = 4
MAX_DRAWS = 2
MAX_PRODUCTS = 16


class Everywhere(NamedTuple):
    """The map that is 1 on every element."""


class ExternalMap(NamedTuple):
    """The map held by the external at `position`."""

    position: int


class EstimateMap(NamedTuple):
    """The map D_0 or D_1, result of an operation."""

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
        return self.count + 2 + MAX_DRAWS + len(self.externals) + 1

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
        return self.unit(self.count)

    @property
    def noise(self) -> Vector:
        """E, the noise estimate."""
        return self.unit(self.count + 1)

    @property
    def draws(self) -> tuple[Vector, Vector]:
        """xi_0 and xi_1, fresh standard normal draws."""
        return self.unit(self.count + 2), self.unit(self.count + 3)

    def external(self, index: int) -> Vector:
        """X_index."""
        return self.unit(self.count + 2 + MAX_DRAWS + index)

    @property
    def one(self) -> Vector:
        """The constant 1."""
        return self.unit(self.width - 1)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one solver on one grid; index 0 is the prologue, index s + 1 is stage s.

    Args:
        basis: the canonical columns.
        registers: (S + 1, K, columns), new registers.
        taps: (S + 1, T, columns), values written to tapes.
        tap_index: (S + 1, T), page of tape t, or -1.
        points: S points, where each stage asks the network.
        draws: (S + 1,), fresh draws consumed by each row.
        external_index: (S + 1, E), page of each external, or -1.
        products: S + 1 tuples of products.
        steps: (S + 1,), whole steps of the grid that are done after each row.
    """

    basis: Basis
    registers: NDArray[np.float64]
    taps: NDArray[np.float64]
    tap_index: NDArray[np.int64]
    points: tuple[Point, ...]
    draws: NDArray[np.int64]
    external_index: NDArray[np.int64]
    products: tuple[tuple[Term, ...], ...]
    steps: NDArray[np.int64]

    @property
    def stages(self) -> int:
        """S, the number of network evaluations of one branch."""
        return len(self.points)


class Program:
    """Collects the rows of one solver, prologue first.

    Args:
        grid: the time grid; its start becomes the prologue.
        registers: K.
        externals: names of further read-only buffers; a grid with a source has "source" as X_0.
    """

    def __init__(self, grid: Grid, registers: int, externals: tuple[str, ...] = ()) -> None:
        names = ("source", *externals) if grid.source_gain else externals
        self.basis = Basis(registers, names)
        self._points: list[Point] = []
        self._registers: list[NDArray[np.float64]] = []
        self._taps: list[tuple[tuple[int, Vector], ...]] = []
        self._draws: list[int] = []
        self._pages: list[dict[int, int]] = []
        self._products: list[tuple[Term, ...]] = []
        self._ends: list[int] = [0]
        start = grid.noise_gain * self.basis.draws[0]
        if grid.source_gain:
            start = start + grid.source_gain * self.basis.external(0)
        self._append([start], pages={0: 0} if grid.source_gain else {})

    def stage(
        self,
        point: Point,
        registers: Sequence[Vector],
        *,
        taps: Sequence[tuple[int, Vector]] = (),
        pages: dict[int, int] | None = None,
        products: Sequence[Term] = (),
        draws: int | None = None,
        ends: int = 1,
    ) -> None:
        """Add one network evaluation and the update that follows it.

        Args:
            point: where R_0 lies and what the network is told.
            registers: the new registers R'_0, R'_1, ...; those left out become 0.
            taps: (page, vector) for each tape, at most 4.
            pages: page of each external that the row reads (default 0).
            products: elementwise terms.
            draws: draws consumed, by default those with a gain; more keeps a foreign noise order.
            ends: steps of the grid that end with this stage; 0 inside a step.
        """
        self._append(registers, taps=taps, pages=pages, products=products, draws=draws)
        self._points.append(point)
        self._ends.append(ends)

    def _append(
        self,
        registers: Sequence[Vector],
        *,
        taps: Sequence[tuple[int, Vector]] = (),
        pages: dict[int, int] | None = None,
        products: Sequence[Term] = (),
        draws: int | None = None,
    ) -> None:
        if len(registers) > self.basis.count:
            raise InvalidTable(
                f"{len(registers)} registers in a row, the table has {self.basis.count}."
            )
        if len(taps) > MAX_TAPS or len(products) > MAX_PRODUCTS:
            raise InvalidTable(f"a row holds at most {MAX_TAPS} taps and {MAX_PRODUCTS} products.")
        block = np.zeros((self.basis.count, self.basis.width))
        block[: len(registers)] = registers
        vectors = [*block, *(tap for _, tap in taps), *(term.source for term in products)]
        used = np.any(vectors, axis=0)
        first = self.basis.count + 2
        drawn = np.flatnonzero(used[first : first + MAX_DRAWS])
        read = set(np.flatnonzero(used[first + MAX_DRAWS : -1]).tolist())
        read |= {term.map.position for term in products if isinstance(term.map, ExternalMap)}
        self._registers.append(block)
        self._taps.append(tuple(taps))
        self._draws.append(int(np.max(drawn + 1, initial=0)) if draws is None else draws)
        self._pages.append(dict.fromkeys(sorted(read), 0) | (pages or {}))
        self._products.append(tuple(products))

    def rows(self) -> Rows:
        """Everything collected, as arrays."""
        count = len(self._registers)
        tapes = max(len(taps) for taps in self._taps)
        taps = np.zeros((count, tapes, self.basis.width))
        tap_index = np.full((count, tapes), -1, np.int64)
        pages = np.full((count, len(self.basis.externals)), -1, np.int64)
        for row in range(count):
            for tape, (page, vector) in enumerate(self._taps[row]):
                taps[row, tape], tap_index[row, tape] = vector, page
            for external, page in self._pages[row].items():
                pages[row, external] = page
        return Rows(
            basis=self.basis,
            registers=np.stack(self._registers),
            taps=taps,
            tap_index=tap_index,
            points=tuple(self._points),
            draws=np.array(self._draws, np.int64),
            external_index=pages,
            products=tuple(self._products),
            steps=np.cumsum(self._ends),
        )
