"""SA-Solver: stochastic Adams methods, predictor and corrector."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Rows, check_start
from denoisert.runtime.sampling.solvers.dpm import Ending, Estimate
from denoisert.runtime.sampling.solvers.exponential import Slope, Span
from denoisert.runtime.sampling.solvers.exponential_rows import (
    Step,
    check_order,
    check_slope,
    earlier,
    falling,
    multistep,
)


@dataclass(frozen=True, slots=True)
@checked
class SASolver:
    """SA-Solver: stochastic Adams-Bashforth predictor, Adams-Moulton corrector.

    x_s  = keep x_t + sum_i a_i P_i + c xi            a, keep and c depend on tau, see `exponential`
    x_s' = keep x_t + sum_i b_i P_i + b P_s + c xi    the same xi, P_s the estimate at x_s

    for the SDE dx_t = .. + tau g dw whose marginals are those of the probability flow for every
    tau, which is 0 outside `interval`. Without noise it is RES with a corrector.
    One evaluation per step. With noise the weak order on Gaussian data is 2, or 1 with predictor 1.

    A step into sigma = 0 is the clean estimate, without noise. Orders rise from 1 at the start.

    Also called "sa_solver", with predictor_order 3 and corrector_order 4 in k-diffusion's heirs;
    diffusers has 2 and 2, tau = 1 for model times 200 to 800, and Slope.BH1 where two points
    remain ("a modification that does not influence the convergence order").

    Args:
        predictor: 1 to 3, points of the predictor's polynomial.
        corrector: 0 to 4, points of the corrector's, the step's end included; 0 does not correct.
        tau: at least 0; 0 deterministic, 1 the reverse SDE. Its square is the eta of DPMpp2MSDE.
        interval: (low, high), sigma / alpha at the step's start between which there is noise; None
            is everywhere.
        estimate: which estimate P is.
        slope: how two points are weighed.
        ending: orders of the last steps.

    Raises:
        InvalidInput: a value outside its range.

    Source: Xue et al. 2023, arXiv 2309.05019; diffusers 0.42.1, SASolverScheduler.
    """

    evaluations_per_step: ClassVar[int] = 1

    predictor: int = 2
    corrector: int = 2
    tau: float = 1.0
    interval: tuple[float, float] | None = None
    estimate: Estimate = Estimate.CLEAN
    slope: Slope = Slope.EXACT
    ending: Ending = Ending.LOWERED

    def __post_init__(self) -> None:
        check_order("predictor", self.predictor, 3)
        check_order("corrector", self.corrector, 4, lowest=0)
        if not 0.0 <= self.tau < math.inf:
            raise InvalidInput(f"tau {self.tau} must be finite and at least 0.")
        if self.interval and not 0.0 <= self.interval[0] <= self.interval[1]:
            raise InvalidInput(
                f"interval {self.interval} must be (low, high) with 0 <= low <= high."
            )

    @property
    def order(self) -> int:
        """The predictor's; with noise, weakly, 2 at most."""
        return min(self.predictor, 2) if self.tau else self.predictor

    def rows(self, grid: Grid) -> Rows:
        """One stage per step.

        Raises:
            InvalidInput: BH1 and a step of infinite length, or noise in a step out of alpha = 0
                with Estimate.NOISE.
        """
        check_start(grid)
        check_slope(grid, self.slope)
        steps = [self._step(grid, step) for step in range(grid.steps)]
        return multistep(grid, self.estimate, steps)

    def _tau(self, point: Point) -> float:
        low, high = self.interval or (0.0, math.inf)
        return self.tau if low <= point.sigma_ve <= high else 0.0

    def _step(self, grid: Grid, step: int) -> Step:
        now, after = grid[step], grid[step + 1]
        span = Span(now, after, self.estimate, self._tau(now), self.slope)
        ending = grid.steps + (4 if self.ending is Ending.FULL else 0)
        predictor = falling(self.predictor, step, ending)
        corrector = min(self.corrector, step + 2, ending - step + 1)
        found = span.predictor(earlier(grid, step, predictor - 1))
        if corrector == 0 or step == grid.steps - 1:
            return Step(found)
        if corrector == 1:
            return Step(found, span.backward())
        return Step(found, span.corrector(earlier(grid, step, corrector - 2)))
