"""Stochastic interpolants: one velocity gives a family of SDEs with any diffusion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Program, Rows

OTHERWISE = "DDIM(eta), EulerAncestral(eta)"


class Diffusion(Enum):
    """How the diffusion eps(t) runs: CONSTANT, SIGMA (eps sigma_t) or BRIDGE (eps alpha_t sigma_t).

    SIGMA vanishes at the data end, BRIDGE at both.
    """

    CONSTANT = "constant"
    SIGMA = "sigma"
    BRIDGE = "bridge"

    def __repr__(self) -> str:
        return f"Diffusion.{self.name}"

    def at(self, point: Point) -> float:
        """The share of eps at a point."""
        if self is Diffusion.CONSTANT:
            return 1.0
        return point.sigma if self is Diffusion.SIGMA else point.alpha * point.sigma


def _check_eps(eps: float) -> None:
    if not 0.0 <= eps < math.inf:
        raise InvalidInput(f"eps {eps} must be finite and at least 0; 0 is the ODE.")


@dataclass(frozen=True, slots=True)
@checked
class InterpolantSDE:
    """Euler-Maruyama on dx = (u - eps(t) score) dt + sqrt(2 eps(t)) dw, run from noise to data.

    With u = E - D, score = -E / sigma_t and h = t - s the step is
    x_s = x_t - h (u + eps(t) E / sigma_t) + sqrt(2 eps(t) h) xi.

    Every eps(t) has the marginals of the flow itself, which eps = 0, FlowEuler, follows without
    noise. Weak order 1, one evaluation per step. The step into t = 0 draws nothing and leaves the
    score out: it ends at D.

    Args:
        eps: size of the diffusion, at least 0.
        diffusion: how it runs along the path.

    Raises:
        InvalidInput: a negative eps.

    Source: Albergo et al. 2023, arXiv 2303.08797; Ma et al. 2024, arXiv 2401.08740 (w_t = 2
    eps).
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    eps: float = 1.0
    diffusion: Diffusion = Diffusion.SIGMA

    def __post_init__(self) -> None:
        _check_eps(self.eps)

    def rows(self, grid: Grid) -> Rows:
        """One stage per step.

        Raises:
            InvalidInput: the path is not linear.
        """
        grid.require_linear(self, OTHERWISE)
        program = Program(grid, registers=1)
        basis = program.basis
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            h = now.sigma - after.sigma
            x = basis.registers[0] - h * (basis.noise - basis.denoised)
            if after.sigma > 0.0:
                eps = self.eps * self.diffusion.at(now)
                x = x - h * eps / now.sigma * basis.noise + math.sqrt(2 * eps * h) * basis.draws[0]
            program.stage(now, [x])
        return program.rows()


@dataclass(frozen=True, slots=True)
@checked
class TwoSidedInterpolant:
    """From one data set to another: the run starts from a source latent, without noise.

    x_t = alpha_t x0 + sigma_t x1 + gamma_t z, x1 the source, gamma_t = spread sqrt(2 t (1 - t)).
    The network says b = E[dx_t/dt | x_t] at its port 0, as a flow velocity, and z' = E[z | x_t] at
    its port 1. With h = t - s

    x_s = x_t - h (b + eps(t) z' / gamma_t) + sqrt(2 eps(t) h) xi.

    eps(t) = eps alpha_t sigma_t vanishes with gamma at both ends. eps = 0 is the ODE and needs no
    port 1. Weak order 1, one evaluation per step.

    Args:
        eps: size of the diffusion, at least 0.
        spread: size of gamma_t, above 0.

    Raises:
        InvalidInput: a negative eps, or a spread that is not positive.

    Source: Albergo et al. 2023, arXiv 2303.08797.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    eps: float = 0.0
    spread: float = 1.0

    def __post_init__(self) -> None:
        _check_eps(self.eps)
        if not 0.0 < self.spread < math.inf:
            raise InvalidInput(f"spread {self.spread} must be above 0.")

    def rows(self, grid: Grid) -> Rows:
        """One stage per step.

        Raises:
            InvalidInput: the path is not linear.
        """
        grid.require_linear(self, OTHERWISE)
        program = Program.from_source(grid, registers=1)
        basis = program.basis
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            h = now.sigma - after.sigma
            x = basis.registers[0] - h * (basis.noise - basis.denoised)
            eps = self.eps * now.alpha * now.sigma
            if eps > 0.0:
                gamma = self.spread * math.sqrt(2.0 * now.alpha * now.sigma)
                x = x - h * eps / gamma * basis.variance
                x = x + math.sqrt(2.0 * eps * h) * basis.draws[0]
            program.stage(now, [x])
        return program.rows()
