"""A solver that repaints part of a picture and takes the rest from the picture itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.basis import (
    MAX_DRAWS,
    MAX_REGISTERS,
    ExternalMap,
    Term,
    Vector,
)
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Rows
from denoisert.runtime.sampling.solvers.ddim import DDIM
from denoisert.runtime.sampling.solvers.solver import Solver
from denoisert.runtime.sampling.wider import wider

SOURCE: Final = "source"
MASK: Final = "mask"
KEPT: Final = "kept"
READ: Final = (SOURCE, MASK, KEPT)
"""What the rows read: the clean picture, 1 where it is repainted, and 1 where it is kept."""


class KnownNoise(Enum):
    """The noise on what is kept. FIXED: that of the start, all along. FRESH: drawn every time."""

    FIXED = "fixed"
    FRESH = "fresh"

    def __repr__(self) -> str:
        return f"KnownNoise.{self.name}"


@dataclass(frozen=True, slots=True)
@checked
class Inpainted:
    """The same solver, whose latent is replaced by the picture wherever it is kept.

    x <- mask x + (1 - mask) (alpha source + sigma xi) after every evaluation, at the point where
    the network is asked next; after the last one alpha = 1 and sigma = 0.

    Args:
        solver: how a step is taken.
        noise: FIXED is diffusers' with networks of 4 channels, FRESH that of the papers.

    Raises:
        InvalidInput: the solver is inpainted already.

    Source: Song et al. 2021, arXiv 2011.13456, appendix I.2; Lugmayr et al. 2022, arXiv 2201.09865,
    equation 8, without going back; diffusers' inpainting pipelines.
    """

    solver: Solver = field(default_factory=DDIM)
    noise: KnownNoise = KnownNoise.FIXED

    def __post_init__(self) -> None:
        if isinstance(self.solver, Inpainted):
            raise InvalidInput(f"{self.solver} is inpainted already; give it {self.solver.solver}.")

    @property
    def order(self) -> int:
        """That of the solver."""
        return self.solver.order

    @property
    def evaluations_per_step(self) -> int:
        """Those of the solver."""
        return self.solver.evaluations_per_step

    def rows(self, grid: Grid) -> Rows:
        """The solver's rows with what is kept put back.

        Raises:
            InvalidInput: a run that does not start from noise, or a solver whose rows are too full.
        """
        rows = self.solver.rows(grid)
        if grid.noise_gain == 0.0 or rows.draws[0] == 0:
            raise InvalidInput(
                f"{self} puts a picture back with the noise of its level, and this run starts from "
                "none. Start from a clean picture or latent."
            )
        is_fixed = self.noise is KnownNoise.FIXED
        if is_fixed and rows.basis.count == MAX_REGISTERS:
            raise InvalidInput(
                f"{self.solver} fills all {MAX_REGISTERS} registers, which leaves none for the "
                "noise. Use KnownNoise.FRESH or a solver of lower order."
            )
        names = rows.basis.externals
        rows = wider(rows, int(is_fixed), tuple(name for name in READ if name not in names))
        if is_fixed:
            rows.registers[0, -1] = rows.basis.draws[0]
            rows.registers[1:, -1] = rows.basis.registers[-1]
        return _Replaced(self, rows).all()


def repaints(solver: Solver) -> bool:
    """Whether a solver is inpainted, whatever is wrapped around that."""
    inner = getattr(solver, "solver", None)
    return isinstance(solver, Inpainted) or (inner is not None and repaints(inner))


@dataclass(frozen=True, slots=True)
class _Replaced:
    """Rows in which R_0 becomes mask R_0 + (1 - mask) (alpha source + sigma xi)."""

    solver: Inpainted
    rows: Rows

    def all(self) -> Rows:
        rows, at = self.rows, self.rows.basis.externals.index
        products, draws, pages = list(rows.products), rows.draws.copy(), rows.external_index.copy()
        for row in range(1, rows.stages + 1):
            known = self._known(row, at(KEPT), at(SOURCE))
            products[row] = (*self._painted(row, at(MASK)), *known, *products[row])
            pages[row, [at(name) for name in READ]] = 0
            if self.solver.noise is KnownNoise.FRESH and row < rows.stages:
                draws[row] += 1
        registers = rows.registers.copy()
        registers[1:, 0] = 0.0
        return replace(
            rows, registers=registers, draws=draws, external_index=pages, products=tuple(products)
        )

    def _painted(self, row: int, mask: int) -> list[Term]:
        """The solver's own R_0 where it paints."""
        if any(term.register == 0 for term in self.rows.products[row]):
            raise InvalidInput(
                f"{self.solver.solver} multiplies within its own step, as with a learned variance, "
                "and a mask cannot multiply that once more. Use a solver that only adds, such as "
                "DDIM() or DPMpp2M()."
            )
        return [Term(0, 1.0, ExternalMap(mask), self.rows.registers[row, 0])]

    def _known(self, row: int, kept: int, source: int) -> list[Term]:
        """alpha source + sigma xi where the network is asked next, or the source at the end."""
        rows, clean = self.rows, self.rows.basis.external(source)
        if row == rows.stages:
            return [Term(0, 1.0, ExternalMap(kept), clean)]
        point = rows.points[row]
        return [
            Term(0, 1.0, ExternalMap(kept), point.alpha * clean + point.sigma * self._noise(row))
        ]

    def _noise(self, row: int) -> Vector:
        """The column that holds the noise of what is kept."""
        basis = self.rows.basis
        if self.solver.noise is KnownNoise.FIXED:
            return basis.registers[-1]
        drawn = int(self.rows.draws[row])
        if drawn == MAX_DRAWS:
            raise InvalidInput(
                f"{self.solver.solver} draws {drawn} times in a row, which leaves none for what is "
                "kept. Use KnownNoise.FIXED."
            )
        return basis.draws[drawn]
