"""Samplers of students that were distilled to a few steps of DDIM."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Program, Rows


@dataclass(frozen=True, slots=True)
@checked
class TwoForwardOneBack:
    """Two intervals of DDIM towards the data, one back with noise; one evaluation per interval.

    x_r = alpha_r D + sigma_r E two points ahead, then
    x_s = (alpha_s / alpha_r) x_r + sqrt(sigma_s^2 - (alpha_s / alpha_r)^2 sigma_r^2) xi.

    The last interval has only itself ahead and is plain DDIM. Weak order 1, no history.

    Source: Meng et al. 2023, arXiv 2210.03142 (N-step stochastic sampler).
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        program = Program(grid, registers=1)
        basis = program.basis
        for step in range(grid.steps):
            after, ahead = grid[step + 1], grid[min(step + 2, grid.steps)]
            x = ahead.alpha * basis.denoised + ahead.sigma * basis.noise
            if step + 1 < grid.steps:
                ratio = after.alpha / ahead.alpha
                spread = math.sqrt(after.sigma**2 - (ratio * ahead.sigma) ** 2)
                x = ratio * x + spread * basis.draws[0]
            program.stage(grid[step], [x])
        return program.rows()


@dataclass(frozen=True, slots=True)
@checked
class NoiseCorrected:
    """DDIM whose first step keeps the noise that it started from: x_s = alpha_s D + sigma_s x_t.

    The start is pure noise, so x_t is the true noise and the network's error in E does not enter.
    Later steps are DDIM's. For students of one to three steps that start at alpha = 0 or near it.
    Order 1, one evaluation per step, no history.

    Source: Kohler et al. 2024, arXiv 2405.05224 (noise correction).
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    def rows(self, grid: Grid) -> Rows:
        """One stage per step.

        Raises:
            InvalidInput: a grid that starts from a source latent.
        """
        program = Program(grid, registers=1)
        if grid.source_gain:
            raise InvalidInput(
                f"{self} takes what a run starts from for pure noise, and this grid starts from a "
                "source latent. Use DDIM()."
            )
        basis = program.basis
        for step in range(grid.steps):
            after = grid[step + 1]
            noise = basis.registers[0] / grid.noise_gain if step == 0 else basis.noise
            program.stage(grid[step], [after.alpha * basis.denoised + after.sigma * noise])
        return program.rows()
