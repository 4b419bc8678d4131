"""DEIS: exponential Adams-Bashforth on the noise estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Rows
from denoisert.runtime.sampling.solvers.dpm import Estimate
from denoisert.runtime.sampling.solvers.exponential_rows import (
    adams_bashforth,
    check_count,
    check_order,
)


@dataclass(frozen=True, slots=True)
@checked
class DEIS:
    """DEIS in log rho: multistep, one evaluation per step.

    x_s = (alpha_s / alpha_t) x_t - (alpha_s sigma_t / alpha_t) sum_i w_i E_i,
    w_i = int_0^h exp(-u) l_i(u) du,  h = half_logsnr_s - half_logsnr_t,

    l_i the Lagrange polynomials of the last `order` points. Order 1 is DDIM. The first steps have
    orders 1, 2, ..; their errors fall as N^-2 and are what is left on very fine grids of order 3
    or 4. Steps out of alpha = 0 or into sigma = 0 have order 1.

    Also called "deis" with "logrho" in diffusers. Not tAB-DEIS, whose polynomial is one in t, and
    not RES, which integrates the clean estimate.

    Args:
        order: 1 to 4, points that the polynomial runs through.
        lower_order_below: the last steps have orders .., 2, 1 if the grid has fewer steps than
            this; 0 never.

    Raises:
        InvalidInput: a value outside its range.

    Source: Zhang and Chen 2022, arXiv 2204.13902; diffusers 0.42.1,
    DEISMultistepScheduler (orders 1 to 3).
    """

    evaluations_per_step: ClassVar[int] = 1

    order: int = 3
    lower_order_below: int = 15

    def __post_init__(self) -> None:
        check_order("order", self.order, 4)
        check_count("lower_order_below", self.lower_order_below)

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        return adams_bashforth(grid, Estimate.NOISE, self.order, self.lower_order_below)
