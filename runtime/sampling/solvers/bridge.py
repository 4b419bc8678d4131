"""Bridges from a degraded picture to a clean one: each row has the degraded one as a column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Program, Rows


@dataclass(frozen=True, slots=True)
@checked
class ResidualBridge:
    """On x = mu + alpha (x0 - mu) + sigma eps, mu the source.

    x_s = mu + q (x_t - mu) + (alpha_s - q alpha_t) (D - mu),  q = sigma_s / sigma_t

    q keeps the noise that is in x_t; where sigma_t is 0, as at the start, which
    is mu itself, q is 0. The last step ends at D. Deterministic, order 1, one evaluation per step.
    The network is told mu as a condition and answers D; its alpha and sigma are those of
    `ResidualBridgePath`. It was trained on D in [-1, 1]: use Bounded(ResidualBridge(), Clip()).

    The noise of the paper's title, scaled by x0 - mu, is not in its published sampler and not here.

    Source: residual diffusion bridge, its published code (MiliLab/RDBM).
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        program = Program.from_source(grid, registers=1)
        basis = program.basis
        (x,), mu = basis.registers, basis.external(0)
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            q = after.sigma / now.sigma if now.sigma > 0.0 else 0.0
            pull = after.alpha - q * now.alpha
            program.stage(now, [mu + q * (x - mu) + pull * (basis.denoised - mu)])
        return program.rows()
