"""First-order solvers x_s = alpha_s D + sqrt(sigma_s^2 - c^2) E + c xi.

DDIM, Euler and Euler ancestral are one update under three names. Divide by alpha_s and write
sv = sigma / alpha, up = c / alpha_s:

    x_s / alpha_s = D + sqrt(sv_s^2 - up^2) E + up xi

Euler in sigma_ve follows dx_ve/dsv = (x_ve - D) / sv = E from x_ve = D + sv_t E, which gives
D + sv_s E: the same with c = 0. Euler ancestral steps to sigma_down = sqrt(sv_s^2 - up^2) instead
and adds up xi with up^2 = eta^2 sv_s^2 (sv_t^2 - sv_s^2) / sv_t^2, that is

    c = eta sigma_s sqrt(1 - q^2),  q = sv_s / sv_t = alpha_t sigma_s / (alpha_s sigma_t)

With eta = 1, c^2 is the variance of x_s given x_t and x0. Where alpha^2 + sigma^2 = 1,
sigma_t^2 (1 - q^2) is 1 - alpha_t^2 / alpha_s^2, so c is DDIM's
eta sigma_s / sigma_t sqrt(1 - alpha_t^2 / alpha_s^2). The form with q holds on every path, also on
flows, at alpha_t = 0, and where alpha is constant (there DDIM's own formula adds no noise).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Program, Rows
from denoisert.runtime.sampling.solvers.inversion import Told, ddim_upward


def _first_order(grid: Grid, eta: float) -> Rows:
    program = Program(grid, registers=1)
    basis = program.basis
    for step in range(grid.steps):
        now, after = grid[step], grid[step + 1]
        q = (now.alpha / after.alpha) * (after.sigma / now.sigma)
        spread = eta**2 * (1.0 - q) * (1.0 + q)
        x = after.alpha * basis.denoised + after.sigma * math.sqrt(1.0 - spread) * basis.noise
        program.stage(now, [x + after.sigma * math.sqrt(spread) * basis.draws[0]])
    return program.rows()


def _check(eta: float) -> None:
    if not 0.0 <= eta <= 1.0:
        raise InvalidInput(f"eta {eta} is outside 0 (deterministic) to 1 (ancestral).")


@dataclass(frozen=True, slots=True)
@checked
class DDIM:
    """DDIM: x_s = alpha_s D + sqrt(sigma_s^2 - c^2) E + c xi, see the module for c.

    Order 1, one evaluation per step, no history; a step that ends without noise draws nothing.

    Args:
        eta: 0 deterministic, 1 the posterior of DDPM ("fixed small" variance).

    Raises:
        InvalidInput: eta outside [0, 1].

    Source: Song et al. 2021, arXiv 2010.02502, eq. 12 and 16.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    eta: float = 0.0

    def __post_init__(self) -> None:
        _check(self.eta)

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        return _first_order(grid, self.eta)

    def inverse_rows(self, grid: Grid, told: Told) -> Rows:
        """DDIM's way up, see `Inverse`.

        Raises:
            InvalidInput: eta is not 0.
        """
        if self.eta != 0.0:
            raise InvalidInput(
                f"{self} cannot be inverted, as it draws noise. Use Inverse(DDIM(0.0)), or "
                f"NoiseEncoder({self.eta}), which records the noise that it would draw."
            )
        return ddim_upward(grid, told)


@dataclass(frozen=True, slots=True)
@checked
class Euler:
    """Euler's method in sigma_ve: x_s = alpha_s D + sigma_s E.

    Order 1, one evaluation per step, no history. Equal to DDIM(eta=0) and, on linear paths, to
    FlowEuler(). No churn; not Euler in time.

    Source: Karras et al. 2022, arXiv 2206.00364, algorithm 1 without its second half.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        return _first_order(grid, 0.0)

    def inverse_rows(self, grid: Grid, told: Told) -> Rows:
        """The same as DDIM's, see `Inverse`."""
        return ddim_upward(grid, told)


@dataclass(frozen=True, slots=True)
@checked
class EulerAncestral:
    """Euler to sigma_down, then fresh noise up to sigma_s; equal to DDIM(eta), see the module.

    Order 1 (weakly, for eta above 0), one evaluation per step, no history. Also called "Euler a".

    Args:
        eta: 0 is Euler, 1 the full ancestral noise.

    Raises:
        InvalidInput: eta outside [0, 1].

    Source: Crowson, k-diffusion, sample_euler_ancestral and get_ancestral_step.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    eta: float = 1.0

    def __post_init__(self) -> None:
        _check(self.eta)

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        return _first_order(grid, self.eta)
