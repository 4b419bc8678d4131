"""DDPM: the posterior mean of the forward process, and noise of a fixed or a learned variance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from denoisert.kernels.step.row import Operation
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.basis import Applied, Basis, EstimateMap, Term, Vector
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Program, Rows


class Variance(Enum):
    """Where the variance of a step comes from.

    FIXED: small^(1 - gamma) large^gamma. LEARNED_RANGE: the network's second output W in [-1, 1]
    takes the place of gamma = (W + 1) / 2, element by element. LEARNED: W is the log variance.
    """

    FIXED = "fixed"
    LEARNED_RANGE = "learned_range"
    LEARNED = "learned"

    def __repr__(self) -> str:
        return f"Variance.{self.name}"


@dataclass(frozen=True, slots=True)
@checked
class DDPM:
    """Ancestral sampling: x_s = (1 - q^2) alpha_s D + q (sigma_s / sigma_t) x_t + std xi.

    q = alpha_t sigma_s / (alpha_s sigma_t)
    small = (1 - q^2) sigma_s^2, the variance of x_s given x_t and x0
    large = (1 - q^2) sigma_t^2, the variance of x_t given x_s

    Where alpha^2 + sigma^2 = 1, large is beta = 1 - alpha_t^2 / alpha_s^2 of the steps that the
    grid makes, so that betas need no respacing. Order 1, weakly so with any gamma, one evaluation
    per step, no history; a step into sigma_s = 0 draws nothing.

    With gamma = 0 it is DDIM(eta=1), but for a bounded D: here x_t stays what it is, as diffusers
    and the published code clip. "fixed_small_log" is gamma = 0, "fixed_large_log" gamma = 1.

    A learned variance is the network's port 1, of the first condition. diffusers' "learned" takes
    the output for the variance itself, not its logarithm.

    Args:
        variance: fixed, or what the network's second output means.
        gamma: with a fixed variance 0 for "small" to 1 for "large", between them even in the
            logarithm, as video diffusion does.

    Raises:
        InvalidInput: gamma outside [0, 1].

    Source: Ho et al. 2020, arXiv 2006.11239, eq. 7 and section 3.2; Nichol and Dhariwal 2021,
    arXiv 2102.09672, eq. 15; gamma: Ho et al. 2022, arXiv 2204.03458.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    variance: Variance = Variance.FIXED
    gamma: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.gamma <= 1.0:
            raise InvalidInput(f"gamma {self.gamma} is outside 0 (small) to 1 (large).")

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        program = Program(grid, registers=1)
        basis = program.basis
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            q = (now.alpha / after.alpha) * (after.sigma / now.sigma)
            mean = (1.0 - q) * (1.0 + q) * after.alpha * basis.denoised
            mean = mean + q * (after.sigma / now.sigma) * basis.registers[0]
            if after.sigma == 0.0:
                program.stage(now, [mean])
            elif self.variance is Variance.FIXED:
                std = math.sqrt((1.0 - q) * (1.0 + q)) * _between(now, after, self.gamma)
                program.stage(now, [mean + std * basis.draws[0]])
            else:
                log = self._log_variance(basis, now, after, math.log1p(-q * q))
                program.stage(
                    now,
                    [mean],
                    operations=[Applied(Operation.EXP_HALF, 0.0, 0.0, log)],
                    products=[Term(0, 1.0, EstimateMap(0), basis.draws[0])],
                )
        return program.rows()

    def _log_variance(self, basis: Basis, now: Point, after: Point, log_share: float) -> Vector:
        """W, or (log large + log small)/2 + W (log large - log small)/2."""
        if self.variance is Variance.LEARNED:
            return basis.variance
        small, large = 2.0 * math.log(after.sigma), 2.0 * math.log(now.sigma)
        middle = log_share + (large + small) / 2.0
        return middle * basis.one + (large - small) / 2.0 * basis.variance


def _between(now: Point, after: Point, gamma: float) -> float:
    """sigma_s^(1 - gamma) sigma_t^gamma."""
    return float(after.sigma ** (1.0 - gamma) * now.sigma**gamma)
