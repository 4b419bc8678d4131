"""Ancestral steps measured in t, as samplers of flow models take them."""

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
class FlowEulerAncestral:
    """Euler below the target, then noise up to it: the step down is a share of the step in t.

    d = sigma_s (1 + eta (sigma_s / sigma_t - 1)) is the level that Euler goes to,
    x_s = (alpha_s / alpha_d) (alpha_d D + d E) + noise_scale c xi,
    c^2 = sigma_s^2 - d^2 alpha_s^2 / alpha_d^2,  alpha_d = 1 - d.

    eta = 0 is FlowEuler(). With eta = 1 it draws less than EulerAncestral(1.0), whose c is the
    posterior's: that one measures the step down in sigma / alpha. Weak order 1, one evaluation per
    step, no history.

    Args:
        eta: share of noise, in [0, 1].
        noise_scale: factor of the fresh noise alone; 1 keeps the variance.

    Raises:
        InvalidInput: eta outside [0, 1], or a negative factor.

    Source: ComfyUI, sample_euler_ancestral_RF; LTXEulerAncestralRFScheduler of diffusers 0.42.1.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    eta: float = 1.0
    noise_scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.eta <= 1.0:
            raise InvalidInput(f"eta {self.eta} is outside 0 (deterministic) to 1 (ancestral).")
        if not 0.0 <= self.noise_scale < math.inf:
            raise InvalidInput(f"noise_scale {self.noise_scale} must be 0 or more; 1 is exact.")

    def rows(self, grid: Grid) -> Rows:
        """One stage per step.

        Raises:
            InvalidInput: the path is not linear.
        """
        grid.require_linear(self, "EulerAncestral(eta), DDIM(eta)")
        program = Program(grid, registers=1)
        basis = program.basis
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            down = after.sigma * (1.0 + self.eta * (after.sigma / now.sigma - 1.0))
            ratio = after.alpha / (1.0 - down)
            x = ratio * ((1.0 - down) * basis.denoised + down * basis.noise)
            spread = math.sqrt(max(0.0, after.sigma**2 - (down * ratio) ** 2))
            program.stage(now, [x + self.noise_scale * spread * basis.draws[0]])
        return program.rows()
