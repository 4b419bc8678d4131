"""What a solver says: float64 rows over canonical columns, knowing no network and no guidance.

A solver writes its update as arithmetic on the vectors of a `Basis`, so the code reads like the
paper's formula; `Program` collects the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.step.form import ARGUMENTS
from denoisert.runtime.errors import InvalidInput, InvalidTable
from denoisert.runtime.sampling.basis import (
    MAX_PRODUCTS,
    MAX_TAPS,
    Applied,
    Basis,
    ExternalMap,
    Term,
    Vector,
    Weighing,
)
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.operations import EstimateOperation


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
        rules: S + 1 rules of the solver itself, None where it has none.
        operations: S + 1 tuples of the solver's own operations, which make O_0 and O_1.
        steps: (S + 1,), whole steps of the grid that are done after each row.
        bound: what happens to D before the solver sees it, or None.
    """

    basis: Basis
    registers: NDArray[np.float64]
    taps: NDArray[np.float64]
    tap_index: NDArray[np.int64]
    points: tuple[Point, ...]
    draws: NDArray[np.int64]
    external_index: NDArray[np.int64]
    products: tuple[tuple[Term, ...], ...]
    rules: tuple[Weighing | None, ...]
    operations: tuple[tuple[Applied, ...], ...]
    steps: NDArray[np.int64]
    bound: EstimateOperation | None = None

    @property
    def stages(self) -> int:
        """S, the number of network evaluations of one branch."""
        return len(self.points)

    def head(self, steps: int) -> Rows:
        """The rows of the first steps of the grid, just as they are.

        Args:
            steps: at least 1, at most all.

        Raises:
            InvalidInput: no row ends with that step.
        """
        last = int(np.argmax(self.steps >= steps))
        if self.steps[last] != steps:
            ends = sorted({int(end) for end in self.steps} - {0})
            raise InvalidInput(
                f"the run is to stop after {steps} steps, and this solver takes several at once: "
                f"it can stop after {', '.join(map(str, ends))}."
            )
        kept = slice(last + 1)
        return replace(
            self,
            registers=self.registers[kept],
            taps=self.taps[kept],
            tap_index=self.tap_index[kept],
            points=self.points[:last],
            draws=self.draws[kept],
            external_index=self.external_index[kept],
            products=self.products[kept],
            rules=self.rules[kept],
            operations=self.operations[kept],
            steps=self.steps[kept],
        )

    def reads(self, unit: Vector) -> NDArray[np.bool_]:
        """Which row sets read the canonical column of a unit vector, (S + 1,)."""
        column = int(unit.argmax())
        found = np.zeros(self.stages + 1, bool)
        for row, rule in enumerate(self.rules):
            vectors = [
                *self.registers[row],
                *self.taps[row],
                *(term.source for term in self.products[row]),
                *(applied.argument for applied in self.operations[row]),
                *(rule.vectors if rule else ()),
            ]
            found[row] = any(vector[column] != 0.0 for vector in vectors)
        return found


class _Row(NamedTuple):
    """What one call of `Program.stage` says."""

    registers: NDArray[np.float64]
    taps: tuple[tuple[int, Vector], ...] = ()
    pages: Mapping[int, int] = MappingProxyType({})
    products: tuple[Term, ...] = ()
    draws: int | None = None
    rule: Weighing | None = None
    operations: tuple[Applied, ...] = ()

    def vectors(self) -> list[Vector]:
        """Every vector of the row."""
        weighed = self.rule.vectors if self.rule else ()
        return [
            *self.registers,
            *(tap for _, tap in self.taps),
            *(term.source for term in self.products),
            *weighed,
            *(applied.argument for applied in self.operations),
        ]


def check_start(grid: Grid) -> None:
    """Refuse a path from one latent to another, where there is neither signal nor noise at first.

    Raises:
        InvalidInput: the grid starts from nothing that a solver of noise could take.
    """
    if grid.noise_gain == 0.0 and grid.source_gain == 0.0:
        raise InvalidInput(
            "this path starts from a given latent, not from noise, and the solver does not. "
            "Solvers that do: ResidualBridge(), TwoSidedInterpolant()."
        )


class Program:
    """Collects the rows of one solver, prologue first.

    Args:
        grid: the time grid; its start becomes the prologue.
        registers: K.
        externals: names of further read-only buffers; a grid with a source has "source" as X_0.
    """

    def __init__(self, grid: Grid, registers: int, externals: tuple[str, ...] = ()) -> None:
        check_start(grid)
        names = ("source", *externals) if grid.source_gain else externals
        self.basis = Basis(registers, names)
        self._rows: list[_Row] = []
        self._points: list[Point] = []
        self._ends: list[int] = [0]
        start = grid.noise_gain * self.basis.draws[0]
        if grid.source_gain:
            start = start + grid.source_gain * self.basis.external(0)
        self.begin([start])

    @classmethod
    def from_source(cls, grid: Grid, registers: int, externals: tuple[str, ...] = ()) -> Program:
        """A program that starts from the source latent X_0 itself, wherever on the path it lies."""
        return cls(replace(grid, noise_gain=0.0, source_gain=1.0), registers, externals)

    def begin(
        self,
        registers: Sequence[Vector],
        *,
        taps: Sequence[tuple[int, Vector]] = (),
        operations: Sequence[Applied] = (),
    ) -> None:
        """Put another prologue in the place of the grid's, which fills R_0 alone.

        Args:
            registers: the registers before the first stage; those left out are 0.
            taps: (page, vector) for each tape, at most 4.
            operations: make O_0 and O_1.
        """
        row = _Row(self._block(registers), tuple(taps), operations=tuple(operations))
        self._rows[:1] = [self._checked(row)]

    def stage(
        self,
        point: Point,
        registers: Sequence[Vector],
        *,
        taps: Sequence[tuple[int, Vector]] = (),
        pages: Mapping[int, int] | None = None,
        products: Sequence[Term] = (),
        draws: int | None = None,
        rule: Weighing | None = None,
        operations: Sequence[Applied] = (),
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
            rule: makes G.
            operations: make O_0 and O_1.
            ends: steps of the grid that end with this stage; 0 inside a step.
        """
        row = _Row(
            self._block(registers),
            tuple(taps),
            pages or {},
            tuple(products),
            draws,
            rule,
            tuple(operations),
        )
        self._rows.append(self._checked(row))
        self._points.append(point)
        self._ends.append(ends)

    def _block(self, registers: Sequence[Vector]) -> NDArray[np.float64]:
        if len(registers) > self.basis.count:
            raise InvalidTable(
                f"{len(registers)} registers in a row, the table has {self.basis.count}."
            )
        block = np.zeros((self.basis.count, self.basis.width))
        block[: len(registers)] = registers
        return block

    def _checked(self, row: _Row) -> _Row:
        """The row with its draws counted and the pages of all it reads."""
        if len(row.taps) > MAX_TAPS or len(row.products) > MAX_PRODUCTS:
            raise InvalidTable(f"a row holds at most {MAX_TAPS} taps and {MAX_PRODUCTS} products.")
        if len(row.operations) > ARGUMENTS:
            raise InvalidTable(f"{len(row.operations)} operations; a row holds {ARGUMENTS}.")
        used = np.any(row.vectors(), axis=0)
        first, last = self.basis.first_draw, self.basis.first_external
        drawn = int(np.max(np.flatnonzero(used[first:last]) + 1, initial=0))
        read = set(np.flatnonzero(used[last:-1]).tolist())
        read |= {term.map.position for term in row.products if isinstance(term.map, ExternalMap)}
        pages = dict.fromkeys(sorted(read), 0) | dict(row.pages)
        return row._replace(draws=drawn if row.draws is None else row.draws, pages=pages)

    def rows(self) -> Rows:
        """Everything collected, as arrays."""
        basis, rows = self.basis, self._rows
        tapes = max((len(row.taps) for row in rows), default=0)
        taps = np.zeros((len(rows), tapes, basis.width))
        tap_index = np.full((len(rows), tapes), -1, np.int64)
        pages = np.full((len(rows), len(basis.externals)), -1, np.int64)
        for index, row in enumerate(rows):
            for tape, (page, vector) in enumerate(row.taps):
                taps[index, tape], tap_index[index, tape] = vector, page
            for external, page in row.pages.items():
                pages[index, external] = page
        return Rows(
            basis=basis,
            registers=np.stack([row.registers for row in rows]),
            taps=taps,
            tap_index=tap_index,
            points=tuple(self._points),
            draws=np.array([row.draws for row in rows], np.int64),
            external_index=pages,
            products=tuple(row.products for row in rows),
            rules=tuple(row.rule for row in rows),
            operations=tuple(row.operations for row in rows),
            steps=np.cumsum(self._ends),
        )
