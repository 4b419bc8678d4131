"""Solvers for networks that jump to the clean latent and are noised back between jumps.

With y the network's jump, every step is x_s = alpha_s y + c xi. The solvers differ in how y is made
of D, in the point that is denoised to, and in c. Few steps, no history, one evaluation per step.
None has an order: the network, not the solver, carries the accuracy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Program, Rows

DATA = 0.5  # standard deviation of the data in the boundary condition
NEARLY = 1e-9  # 0.7 * 10 is meant to be 7


@dataclass(frozen=True, slots=True)
@checked
class ConsistencyMultistep:
    """Multistep consistency sampling: x_s = alpha_s D + c xi, c = alpha_s sqrt(sv_s^2 - least^2).

    sv = sigma / alpha. D is the consistency function's value, so the network's card says what its
    output means. At the data end, sv_s <= least, the step is x_s = alpha_s D.

    Also the sampler of trigonometric consistency models (v networks on alpha = cos t,
    sigma = sin t) and of flow consistency models.

    Args:
        least: the least noise level that the network was trained at, sigma_min of its paper.

    Raises:
        InvalidInput: a negative level.

    Source: Song et al. 2023, arXiv 2303.01469, algorithm 1; trigonometric: Lu and Song 2024, arXiv
    2410.11081.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    least: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.least < math.inf:
            raise InvalidInput(f"least {self.least} must be a noise level, 0 or more.")

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        program = Program(grid, registers=1)
        denoised, (xi, _) = program.basis.denoised, program.basis.draws
        for step in range(grid.steps):
            after = grid[step + 1]
            spread = max(0.0, after.sigma**2 - (after.alpha * self.least) ** 2)
            program.stage(grid[step], [after.alpha * denoised + math.sqrt(spread) * xi])
        return program.rows()


@dataclass(frozen=True, slots=True)
@checked
class LCM:
    """Latent consistency: x_s = alpha_s y + sigma_s xi, y = c_skip x + c_out D, the last step y.

    c_skip = 0.25 / (u^2 + 0.25), c_out = u / sqrt(u^2 + 0.25), u = timestep_scaling model_time: the
    boundary condition of the distilled networks, nearly y = D but at the least times.

    Its steps lie on the distillation's own times, see the card. Not DPM-Solver, not TCD.

    Args:
        timestep_scaling: above 0.

    Raises:
        InvalidInput: a scaling that is not positive and finite.

    Source: Luo et al. 2023, arXiv 2310.04378; c_skip, c_out as in its code.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    timestep_scaling: float = 10.0

    def __post_init__(self) -> None:
        if not 0.0 < self.timestep_scaling < math.inf:
            raise InvalidInput(f"timestep_scaling {self.timestep_scaling} must be above 0.")

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        program = Program(grid, registers=1)
        (x,), (xi, _) = program.basis.registers, program.basis.draws
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            u = self.timestep_scaling * now.model_time
            skip, out = DATA**2 / (u**2 + DATA**2), u / math.hypot(u, DATA)
            jump = skip * x + out * program.basis.denoised
            is_last = step == grid.steps - 1
            program.stage(now, [jump if is_last else after.alpha * jump + after.sigma * xi])
        return program.rows()


@dataclass(frozen=True, slots=True)
@checked
class TCD:
    """Trajectory consistency: denoise to a time between, then noise up to the next grid point.

    x_m = alpha_m D + sigma_m E at model_time_m = (1 - gamma) model_time_s, then
    x_s = (alpha_s / alpha_m) x_m + sqrt(sigma_s^2 - (alpha_s / alpha_m)^2 sigma_m^2) xi.

    model_time_m is rounded down where all times of the grid are whole. The last step ends at x_m of
    time 0 without noise, so what noise time 0 has stays in the sample.

    gamma = 0 is DDIM(0.0) up to there, gamma = 1 noises from time 0 as a consistency sampler does.

    Args:
        gamma: share of the way that is noised, in [0, 1]; eta in diffusers.

    Raises:
        InvalidInput: gamma outside [0, 1].

    Source: Zheng et al. 2024, arXiv 2402.19159; TCDScheduler of diffusers 0.42.1.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    gamma: float = 0.3

    def __post_init__(self) -> None:
        if not 0.0 <= self.gamma <= 1.0:
            raise InvalidInput(f"gamma {self.gamma} is outside 0 (no noise) to 1 (all of it).")

    def rows(self, grid: Grid) -> Rows:
        """One stage per step.

        Raises:
            InvalidInput: a grid without a path, whose times between are unknown, or model times
                that do not fall to 0 at the data end, as logarithms of levels.
        """
        program = Program(grid, registers=1)
        basis = program.basis
        for step in range(grid.steps):
            after = grid[step + 1]
            is_last = step == grid.steps - 1
            alpha, sigma = grid.at_time(0.0) if is_last else self._between(grid, step + 1)
            jump = alpha * basis.denoised + sigma * basis.noise
            if not is_last and self.gamma > 0.0:
                ratio = after.alpha / alpha
                spread = max(0.0, after.sigma**2 - (ratio * sigma) ** 2)
                jump = ratio * jump + math.sqrt(spread) * basis.draws[0]
            program.stage(grid[step], [jump])
        return program.rows()

    def _between(self, grid: Grid, index: int) -> tuple[float, float]:
        """(alpha, sigma) of the time that is denoised to on the way to a point of the grid."""
        after = grid[index]
        if self.gamma == 0.0:
            return after.alpha, after.sigma
        time, visited = (1.0 - self.gamma) * after.model_time, grid.model_time[:-1]
        is_whole = bool(np.all(visited == np.round(visited)))
        alpha, sigma = grid.at_time(math.floor(time + NEARLY) if is_whole else time)
        if sigma * after.alpha > (1.0 + NEARLY) * after.sigma * alpha:
            raise InvalidInput(
                f"{self} takes a share of model times, and time {time:g} of this path has more "
                f"noise than time {after.model_time:g}. Use a schedule whose times fall to 0 at "
                "the data end, or ConsistencyMultistep()."
            )
        return alpha, sigma
