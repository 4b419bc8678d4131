"""A solver run from the data end to the noise end: what a given latent was made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Rows, check_start
from denoisert.runtime.sampling.solvers.ddim import DDIM
from denoisert.runtime.sampling.solvers.inversion import Told
from denoisert.runtime.sampling.solvers.solver import Solver


@runtime_checkable
class Invertible(Protocol):
    """A solver that knows its way back."""

    def inverse_rows(self, grid: Grid, told: Told) -> Rows:
        """Rows from the grid's last point, where the source lies, up to its first."""
        ...


@dataclass(frozen=True, slots=True)
@checked
class Inverse:
    """A solver run backwards, from a given latent to the noise that it comes from.

    Inverting DDIM or DPM-Solver++ is approximate, of the solver's own order: the network is asked
    at the lower point, which the way down never did. EDICT and BDIA invert exactly; the second
    latent that their way down needs is on tape 0.

    Args:
        solver: deterministic and invertible.
        told: which time the network is told at the lower point.

    Raises:
        InvalidInput: a solver that has no way back.

    Source: Song et al. 2021, arXiv 2010.02502, section 4.3; the solver's own for the others.
    """

    solver: Solver = field(default_factory=DDIM)
    told: Told = Told.NEXT

    def __post_init__(self) -> None:
        self._invertible()

    @property
    def order(self) -> int:
        """That of the solver."""
        return self.solver.order

    @property
    def evaluations_per_step(self) -> int:
        """Those of the solver."""
        return self.solver.evaluations_per_step

    def rows(self, grid: Grid) -> Rows:
        """Rows from the source up to the grid's first point.

        Raises:
            InvalidInput: the solver has no way back on this grid.
        """
        check_start(grid)
        return self._invertible().inverse_rows(grid, self.told)

    def _invertible(self) -> Invertible:
        if not isinstance(self.solver, Invertible):
            raise InvalidInput(
                f"{self.solver} cannot be inverted. Solvers that can: DDIM(), Euler(), "
                "FlowEuler(), DPMpp2M(), DPMpp3M(), DPMSolver2M(), DPMSolver3M(), EDICT(), BDIA()."
            )
        return self.solver
