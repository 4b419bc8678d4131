"""A solver whose clean estimate is bounded before it sees it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.operations import Clip, EstimateOperation
from denoisert.runtime.sampling.rows import Rows
from denoisert.runtime.sampling.solvers.ddim import DDIM
from denoisert.runtime.sampling.solvers.solver import Solver


@dataclass(frozen=True, slots=True)
@checked
class Bounded:
    """The same solver on D' = operation(D), taken after guidance.

    Networks of pictures in [-1, 1] are sampled so: `Bounded(DDIM(), Clip(-1.0, 1.0))` is
    diffusers' `clip_sample`, with `DynamicThreshold` its `thresholding`. Whether the noise
    estimate E follows D' or stays the network's is the operation's `rederive`.

    Args:
        solver: how a step is taken.
        operation: what happens to D.

    Raises:
        InvalidInput: the solver is bounded already.

    Source: Ho et al. 2020, arXiv 2006.11239, published code (clip); Saharia et al. 2022, arXiv
    2205.11487, section 2.3 (thresholds).
    """

    solver: Solver = field(default_factory=DDIM)
    operation: EstimateOperation = field(default_factory=Clip)

    def __post_init__(self) -> None:
        if isinstance(self.solver, Bounded):
            raise InvalidInput(f"{self.solver} is bounded already; bound {self.solver.solver}.")

    @property
    def order(self) -> int:
        """That of the solver; where the bound acts it is the solver's on the bounded estimate."""
        return self.solver.order

    @property
    def evaluations_per_step(self) -> int:
        """Those of the solver."""
        return self.solver.evaluations_per_step

    def rows(self, grid: Grid) -> Rows:
        """The solver's rows with the operation on D."""
        return replace(self.solver.rows(grid), bound=self.operation)
