"""Single-step DPM solvers with ancestral noise, asked between the points of the grid.

An ancestral step to noise level sv_s = sigma_s / alpha_s goes down further, to sv_s down, and adds
fresh noise sv_s up:

    up = eta sqrt(1 - q^2),  down = sqrt(1 - up^2),  q = sv_s / sv_t

The deterministic part ends at the point (alpha_s, down sigma_s), which lies on no path and needs
none: it is only where an update arrives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.basis import Basis, Vector
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Program, Rows
from denoisert.runtime.sampling.solvers.dpm import (
    Drift,
    Estimate,
    check_noise,
    is_end,
    shrinkage,
)
from denoisert.runtime.sampling.solvers.dpm_step import inside

CLEAN = Drift(Estimate.CLEAN)


def descent(now: Point, after: Point, eta: float) -> tuple[Point, float]:
    """Where the deterministic part of an ancestral step ends, and the gain of its noise.

    Source: Crowson, k-diffusion, get_ancestral_step.
    """
    q = shrinkage(now, after)
    up = eta * math.sqrt((1.0 - q) * (1.0 + q))
    down = math.sqrt((1.0 - up) * (1.0 + up))
    return Point(after.alpha, after.sigma * down, math.nan), after.sigma * up


def one_step(basis: Basis, now: Point, after: Point, eta: float, noise_scale: float) -> Vector:
    """An ancestral step of order 1; finite out of alpha = 0 and into sigma = 0."""
    target, gain = descent(now, after, eta)
    return CLEAN.first(basis, now, target) + noise_scale * gain * basis.draws[0]


@dataclass(frozen=True, slots=True)
@checked
class DPMpp2SAncestral:
    """DPM-Solver++(2S) down, then fresh noise up: two evaluations per step.

    u    = (sv_1 / sv_t) x_t + (1 - sv_1 / sv_t) D,    sv_1 = sqrt(sv_t sv_d),  sv_d = down sv_s
    x_s  = (sv_d / sv_t) x_t + (1 - sv_d / sv_t) D_u + noise_scale up sv_s xi,  all divided by alpha

    Order 2, with noise weakly: fresh noise on what has followed the flow to sv_d has the right law
    at sv_s, so only the flow errs. No history; one draw per step. Steps out of alpha_t = 0 and into
    sigma_s = 0 have order 1. eta = 0 is DPMpp2S().

    Also called "DPM++ 2S a". On flows it keeps this noise; ComfyUI's dpmpp_2s_ancestral there has
    another one (its _RF form).

    Args:
        eta: 0 deterministic, 1 ancestral.
        noise_scale: factor of the fresh noise alone; 1 is the right variance.

    Raises:
        InvalidInput: a number outside its range.

    Source: Crowson, k-diffusion, sample_dpmpp_2s_ancestral.
    """

    order: ClassVar[int] = 2
    evaluations_per_step: ClassVar[int] = 2

    eta: float = 1.0
    noise_scale: float = 1.0

    def __post_init__(self) -> None:
        check_noise(self, self.eta, self.noise_scale, most=1.0)

    def rows(self, grid: Grid) -> Rows:
        """Two stages per step, one at the ends named above.

        Raises:
            InvalidInput: the grid knows no path between its points.
        """
        program = Program(grid, registers=2)
        (x, kept), denoised = program.basis.registers, program.basis.denoised
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            target, gain = descent(now, after, self.eta)
            noise = self.noise_scale * gain * program.basis.draws[0]
            if is_end(now) or is_end(target):
                program.stage(now, [CLEAN.first(program.basis, now, target) + noise])
                continue
            middle = inside(grid, now, target, 0.5)
            base, rest = CLEAN.keep(now, target)
            program.stage(now, [CLEAN.advance(now, middle, x, denoised), base * x], ends=0)
            program.stage(middle, [kept + rest * denoised + noise])
        return program.rows()


@dataclass(frozen=True, slots=True)
@checked
class DPMppSDE:
    """DPM-Solver++ (stochastic): two evaluations per step, both reached with ancestral noise.

    u   = (sv_d1 / sv_t) x_t + (1 - sv_d1 / sv_t) D + up_1 sv_1 z_1,  sv_1 = sv_t^(1-r) sv_s^r
    x_s = (sv_d / sv_t) x_t + (1 - sv_d / sv_t) ((1 - 1/(2r)) D + 1/(2r) D_u) + up sv_s z

    all divided by alpha, noise times noise_scale. Both noises are increments of one Brownian motion
    whose time is sigma_ve, so the second contains the first: with z_1 and z_2 fresh,

    z = (sqrt(d_1) z_1 + sqrt(d_2) z_2) / sqrt(d_1 + d_2),  d_1 = sv_t - sv_1,  d_2 = sv_1 - sv_s

    Order 2, with noise weakly (measured on Gaussian data). No history; one draw per evaluation.
    Steps out of alpha_t = 0 and into sigma_s = 0 have order 1. eta = 0 is DPMpp2S(r). Also called
    "DPM++ SDE"; in diffusers DPMSolverSDEScheduler. Not DPMpp2MSDE, which asks once per step.

    Args:
        eta: 0 deterministic, 1 ancestral.
        noise_scale: factor of the fresh noise alone; 1 is the right variance.
        r: share of the step, in log sigma_ve, where the second evaluation lies; in (0, 1).

    Raises:
        InvalidInput: a number outside its range.

    Source: Crowson, k-diffusion, sample_dpmpp_sde and BrownianTreeNoiseSampler.
    """

    order: ClassVar[int] = 2
    evaluations_per_step: ClassVar[int] = 2

    eta: float = 1.0
    noise_scale: float = 1.0
    r: float = 0.5

    def __post_init__(self) -> None:
        check_noise(self, self.eta, self.noise_scale, most=1.0)
        if not 0.0 < self.r < 1.0:
            raise InvalidInput(f"{self}: r {self.r} must lie between 0 and 1.")

    def rows(self, grid: Grid) -> Rows:
        """Two stages per step, one at the ends named above.

        Raises:
            InvalidInput: the grid knows no path between its points.
        """
        program = Program(grid, registers=2)
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            if is_end(now) or is_end(after):
                x = one_step(program.basis, now, after, self.eta, self.noise_scale)
                program.stage(now, [x])
            else:
                self._write(program, now, inside(grid, now, after, self.r), after)
        return program.rows()

    def _write(self, program: Program, now: Point, middle: Point, after: Point) -> None:
        basis, share = program.basis, 1.0 / (2.0 * self.r)
        (x, kept), denoised = basis.registers, basis.denoised
        target, gain = descent(now, after, self.eta)
        base, rest = CLEAN.keep(now, target)
        past, left = now.sigma_ve - middle.sigma_ve, middle.sigma_ve - after.sigma_ve
        whole = base * x + (1.0 - share) * rest * denoised
        earlier = self.noise_scale * gain * math.sqrt(past / (past + left)) * basis.draws[0]
        later = self.noise_scale * gain * math.sqrt(left / (past + left)) * basis.draws[0]
        guess = one_step(basis, now, middle, self.eta, self.noise_scale)
        program.stage(now, [guess, whole + earlier], ends=0)
        program.stage(middle, [kept + share * rest * denoised + later])
