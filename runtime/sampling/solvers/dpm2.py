"""DPM-Solver-2 as k-diffusion has it: the midpoint method with the middle in log(sigma_ve)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Rows, check_start
from denoisert.runtime.sampling.solvers.butcher import Table
from denoisert.runtime.sampling.solvers.edm import Churn, churned
from denoisert.runtime.sampling.solvers.runge_kutta import Leg, walk


def _table(leg: Leg, ratio: float) -> Table:
    """The second stage asks at sv_t^(1 - ratio) sv_s^ratio and weighs 1 / (2 ratio)."""
    level = leg.now.sigma_ve ** (1.0 - ratio) * leg.end.sigma_ve**ratio
    weight = 0.5 / ratio
    return (leg.share(level),), (1.0 - weight, weight)


def _check_ratio(ratio: float) -> None:
    if not 0.0 < ratio < 1.0:
        raise InvalidInput(f"ratio {ratio} is outside 0 to 1: the middle lies inside a step.")


@dataclass(frozen=True, slots=True)
@checked
class DPM2:
    """DPM-Solver-2: a midpoint step in sigma_ve, its middle m even in log(sigma_ve).

    sv_m = sv_t^(1-r) sv_s^r,  x_m = alpha_m (x_t / alpha_t + (sv_m - sv_t) E)
    x_s = alpha_s (x_t / alpha_t + (sv_s - sv_t) ((1 - 1/(2r)) E + 1/(2r) E_m))

    Order 2, weakly so with churn, which keeps the marginals; two evaluations per step, no history.
    A step into sigma_s = 0 or out of alpha_t = 0 is Euler's. Asks between the points of the grid.

    "DPM2", k-diffusion's sample_dpm_2, diffusers' KDPM2. Not DPM-Solver-2 in half the log SNR
    (single step with exponential weights), which k-diffusion's code took as a model.

    Args:
        ratio: r, where in a step the middle lies.
        s_churn: noise in all, see EDMHeun; 0 draws none.
        s_tmin: least sigma / alpha where noise is added.
        s_tmax: greatest; None is no bound.
        s_noise: standard deviation of the draws.

    Raises:
        InvalidInput: a ratio outside (0, 1), a negative value, or an empty range.

    Source: Crowson, k-diffusion, sample_dpm_2; ratio: Zhou et al., diff-sampler, dpm_2_sampler;
    after Lu et al. 2022, arXiv 2206.00927, algorithm 1.
    """

    order: ClassVar[int] = 2
    evaluations_per_step: ClassVar[int] = 2

    ratio: float = 0.5
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float | None = None
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        _check_ratio(self.ratio)
        self._churn.check()

    @property
    def _churn(self) -> Churn:
        return Churn(self.s_churn, self.s_tmin, self.s_tmax, self.s_noise)

    def rows(self, grid: Grid) -> Rows:
        """Two stages per step, one at the ends named above.

        Raises:
            InvalidInput: the grid has no path between its points.
        """
        return churned(grid, self._churn, lambda leg: _table(leg, self.ratio))


@dataclass(frozen=True, slots=True)
@checked
class DPM2Ancestral:
    """DPM2 to sigma_down, then fresh noise up to sigma_s.

    up = eta sv_s sqrt(1 - q^2),  down = sqrt(sv_s^2 - up^2),  q = sv_s / sv_t

    x_s = alpha_s (x_t / alpha_t + (down - sv_t) E_m + s_noise up xi), with the middle m between
    sv_t and down. Order 2, weakly so for eta above 0: the noise keeps the marginals, and only the
    step to down errs. Two evaluations per step, no history; with eta = 0 it is DPM2(). "DPM2 a".

    Args:
        eta: 0 is DPM2, 1 the full ancestral noise.
        s_noise: standard deviation of the draws.

    Raises:
        InvalidInput: eta outside [0, 1] or negative noise.

    Source: Crowson, k-diffusion, sample_dpm_2_ancestral and get_ancestral_step.
    """

    order: ClassVar[int] = 2
    evaluations_per_step: ClassVar[int] = 2

    eta: float = 1.0
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.eta <= 1.0 or not 0.0 <= self.s_noise < math.inf:
            raise InvalidInput(
                f"eta {self.eta} must lie within 0 (deterministic) to 1 (ancestral), and s_noise "
                f"{self.s_noise} be finite and 0 or more."
            )

    def rows(self, grid: Grid) -> Rows:
        """Two stages per step, one at the ends of DPM2.

        Raises:
            InvalidInput: the grid has no path between its points.
        """
        check_start(grid)
        legs = [self._leg(grid, step) for step in range(grid.steps)]
        return walk(grid, legs, lambda leg: _table(leg, 0.5))

    def _leg(self, grid: Grid, step: int) -> Leg:
        now, after = grid[step], grid[step + 1]
        q = (now.alpha / after.alpha) * (after.sigma / now.sigma)
        spread = self.eta**2 * (1.0 - q) * (1.0 + q)
        if spread == 0.0 or after.sigma == 0.0:
            return Leg(now, after, after)
        down = after.sigma_ve * math.sqrt(1.0 - spread)
        up = self.s_noise * after.sigma_ve * math.sqrt(spread)
        if down == 0.0:
            return Leg(now, after._replace(sigma=0.0), after, up)
        return Leg(now, grid.at_level(down), after, up)
