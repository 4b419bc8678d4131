"""RES: exponential Adams-Bashforth on the clean estimate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Rows, check_start
from denoisert.runtime.sampling.solvers.dpm import Estimate
from denoisert.runtime.sampling.solvers.exponential import Update, lagrange
from denoisert.runtime.sampling.solvers.exponential_rows import (
    Step,
    adams_bashforth,
    check_count,
    check_order,
    multistep,
)


@dataclass(frozen=True, slots=True)
@checked
class RES:
    """Refined exponential solver, multistep form: one evaluation per step.

    x_s = (sigma_s / sigma_t) x_t + alpha_s sum_i w_i D_i,
    w_i = int_0^h exp(-(h - u)) l_i(u) du,  h = half_logsnr_s - half_logsnr_t,

    l_i the Lagrange polynomials of the last `order` points. Order 1 is DDIM, order 2 is
    RESMultistep(). The first steps have orders 1, 2, ..; their errors fall as N^-2 and are what is
    left on very fine grids of order 3 or 4. Steps out of alpha = 0 or into sigma = 0 have order 1.

    Not DPM-Solver++, whose order 2 weighs the slope otherwise, and not DEIS, which integrates the
    noise estimate.

    Args:
        order: 1 to 4, points that the polynomial runs through.
        lower_order_below: the last steps have orders .., 2, 1 if the grid has fewer steps than
            this; 0 never.

    Raises:
        InvalidInput: a value outside its range.

    Source: Zhang et al. 2023, arXiv 2308.02157; Hochbruck and Ostermann 2010, "Exponential
    integrators" (exponential Adams methods).
    """

    evaluations_per_step: ClassVar[int] = 1

    order: int = 2
    lower_order_below: int = 0

    def __post_init__(self) -> None:
        check_order("order", self.order, 4)
        check_count("lower_order_below", self.lower_order_below)

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        return adams_bashforth(grid, Estimate.CLEAN, self.order, self.lower_order_below)


@dataclass(frozen=True, slots=True)
@checked
class RESMultistep:
    """`res_multistep`: RES of order 2 to sigma_down, then fresh noise up to sigma_s.

    In sv = sigma / alpha, with c = eta sqrt(1 - (sv_s / sv_t)^2) and down = sv_s sqrt(1 - c^2),

    x_s / alpha_s = exp(-h) x_t / alpha_t + (1 - exp(-h)) D + w (D' - D) + sv_s c xi
    h = log(sv_t / down),  w = int_0^1 h exp(-h (1 - y)) y dy / r,
    r = log(down' / sv_t') / h

    D' the estimate of the previous step, whose start is sv_t' and whose own down is down'. Order 2,
    with noise the weak order on Gaussian data; at eta = 0 it equals RES(2). The first step and the
    one into sigma = 0 have order 1.

    Also called "res_multistep" (eta 0) and "res_multistep_ancestral" (eta 1).

    Args:
        eta: 0 deterministic, 1 the full ancestral noise.

    Raises:
        InvalidInput: eta outside [0, 1].

    Source: ComfyUI, comfy/k_diffusion/sampling.py, res_multistep; after Zhang et al. 2023, arXiv
    2308.02157.
    """

    order: ClassVar[int] = 2
    evaluations_per_step: ClassVar[int] = 1

    eta: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.eta <= 1.0:
            raise InvalidInput(f"eta {self.eta} is outside 0 (deterministic) to 1 (ancestral).")

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        check_start(grid)
        steps = [Step(self._update(grid, step)) for step in range(grid.steps)]
        return multistep(grid, Estimate.CLEAN, steps)

    def _update(self, grid: Grid, step: int) -> Update:
        now, after = grid[step], grid[step + 1]
        share, spread = self._noise(grid, step)
        length = after.half_logsnr - now.half_logsnr - math.log(share) if share else math.inf
        others = []
        if step and grid[step - 1].alpha and math.isfinite(length):
            before = grid[step - 1]
            passed = now.half_logsnr - math.log(self._noise(grid, step - 1)[0])
            others = [(before.half_logsnr - passed) / length]
        weights = lagrange(others, length, Estimate.CLEAN)
        gains = tuple(float(after.alpha * weight) for weight in weights)
        return Update(after.sigma / now.sigma * share, gains, spread=after.sigma * spread)

    def _noise(self, grid: Grid, step: int) -> tuple[float, float]:
        """down / sv_s and the noise's gain per sigma_s; their squares add up to 1."""
        now, after = grid[step], grid[step + 1]
        q = (now.alpha / after.alpha) * (after.sigma / now.sigma)
        spread = self.eta**2 * (1.0 - q) * (1.0 + q)
        return math.sqrt(1.0 - spread), math.sqrt(spread)
