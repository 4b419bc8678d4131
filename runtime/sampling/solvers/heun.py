"""Heun's method in sigma_ve, the second-order solver of EDM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Rows
from denoisert.runtime.sampling.solvers.butcher import Scheme
from denoisert.runtime.sampling.solvers.runge_kutta import plain, walk


@dataclass(frozen=True, slots=True)
@checked
class Heun:
    """Heun's method on dx_ve/dsigma_ve = E, with x_ve = x / alpha and sv = sigma / alpha.

    predictor  x_s = alpha_s D + sigma_s E
    corrector  x_s = alpha_s (D + (sv_t + sv_s)/2 E + (sv_s - sv_t)/2 E')

    with E' the noise estimate at the predictor. Order 2, two evaluations per step, no history. A
    step into sigma_s = 0, where the network cannot be asked, is the predictor alone; so is a step
    out of alpha_t = 0, where sv is infinite. Each errs by the square of its own length, so the
    order stays 2. N steps make 2N - 1 evaluations, from alpha = 0 they make 2N - 2.

    No churn: that is EDMHeun. Not FlowHeun, which corrects the velocity in t.

    Source: Karras et al. 2022, arXiv 2206.00364, algorithm 1.
    """

    order: ClassVar[int] = 2
    evaluations_per_step: ClassVar[int] = 2

    def rows(self, grid: Grid) -> Rows:
        """Two stages per step, one at the ends named above."""
        return walk(grid, plain(grid), lambda leg: Scheme.HEUN.table)
