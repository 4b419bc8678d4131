"""Multistep DPM solvers of the reverse SDE: the same slopes, and fresh noise in every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from denoisert.runtime.sampling.compat import Compat
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Program, Rows
from denoisert.runtime.sampling.solvers.dpm import Drift, Ending, Estimate, Form, check_noise
from denoisert.runtime.sampling.solvers.dpm_multistep import Multistep


@dataclass(frozen=True, slots=True)
@checked
class DPMpp2MSDE(Multistep):
    """SDE-DPM-Solver++(2M): DPMpp2M with noise, one evaluation per step.

    x_s = (sigma_s / sigma_t) q^eta x_t + alpha_s (1 - q^(1 + eta)) (d_0 + (d_0 - d_1) / (2r))
          + noise_scale sigma_s sqrt(1 - q^(2 eta)) xi,  q = exp(-h), r = h_previous / h

    Weak order 2, history 1, one draw per step, none into sigma_s = 0. eta = 0 is DPMpp2M. With
    eta = 1 its first step is DDIM(1). Out of alpha_t = 0 the noise is replaced altogether.

    Also called "DPM++ 2M SDE"; in diffusers "sde-dpmsolver++" of order 2 (order 1 is DDIM(1)), and
    CosineDPMSolverMultistepScheduler; in ComfyUI dpmpp_2m_sde, with HEUN dpmpp_2m_sde_heun. Not
    DPMppSDE, which asks twice per step.

    Args:
        eta: 0 deterministic, 1 the reverse SDE; larger is more noise still.
        noise_scale: factor of the fresh noise alone; 1 is the right variance.
        form: MIDPOINT as above; HEUN weighs (d_0 - d_1) / r by alpha_s w_1, see the module dpm.
        lower_order_below: the last step has order 1 if the grid has fewer steps than this; 0 never.
        ending: LOWERED gives the last step order 1 always.

    Raises:
        InvalidInput: a number outside its range.

    Source: Lu et al. 2022, arXiv 2211.01095, section 5; eta and noise_scale: Crowson, k-diffusion,
    sample_dpmpp_2m_sde.
    """

    points: ClassVar[int] = 2

    eta: float = 1.0
    noise_scale: float = 1.0
    form: Form = Form.MIDPOINT
    lower_order_below: int = 0
    ending: Ending = Ending.FULL

    def __post_init__(self) -> None:
        check_noise(self, self.eta, self.noise_scale)
        self.check()

    @property
    def drift(self) -> Drift:
        """D, with noise."""
        return Drift(Estimate.CLEAN, self.eta, self.noise_scale)


@dataclass(frozen=True, slots=True)
@checked
class DPMpp3MSDE(Multistep):
    """SDE-DPM-Solver++(3M): three clean estimates and noise, one evaluation per step.

    x_s = (sigma_s / sigma_t) q^eta x_t + alpha_s (w_0 d_0 + w_1 m' + w_2 m'')
          + noise_scale sigma_s sqrt(1 - q^(2 eta)) xi,  z = (1 + eta) h, see `extrapolation`

    Weak order 2, history 2, one draw per step, none into sigma_s = 0. eta = 0 is DPMpp3M with HEUN.

    Also called "DPM++ 3M SDE". Compat.DIFFUSERS is diffusers 0.42.1, whose "sde-dpmsolver++" of
    order 3 has w_2 - 1 for w_2 (it subtracts 1/2 where it should add it) and so weak order 1; its
    steps of order 2 are Form.MIDPOINT by default.

    Args:
        eta: 0 deterministic, 1 the reverse SDE; larger is more noise still.
        noise_scale: factor of the fresh noise alone; 1 is the right variance.
        form: of steps of order 2.
        lower_order_below: in a grid of fewer steps the last two have orders 2 and 1; 0 never.
        ending: LOWERED gives the last step order 1 always.
        compat: whose weight of m''.

    Raises:
        InvalidInput: a number outside its range.

    Source: Crowson, k-diffusion, sample_dpmpp_3m_sde.
    """

    points: ClassVar[int] = 3

    eta: float = 1.0
    noise_scale: float = 1.0
    form: Form = Form.HEUN
    lower_order_below: int = 0
    ending: Ending = Ending.FULL
    compat: Compat = Compat.PAPER

    def __post_init__(self) -> None:
        check_noise(self, self.eta, self.noise_scale)
        self.check()

    @property
    def drift(self) -> Drift:
        """D, with noise."""
        return Drift(Estimate.CLEAN, self.eta, self.noise_scale, self.compat)


@dataclass(frozen=True, slots=True)
@checked
class SDEDPMSolver1:
    """SDE-DPM-Solver-1: first order on the noise estimate, with noise.

    x_s = (alpha_s / alpha_t) x_t - (1 + eta) sigma_s expm1(h) E
          + noise_scale sqrt(eta) sigma_s sqrt(expm1(2h)) xi

    Weak order 1, one evaluation per step, no history. eta = 0 is DDIM(). It has no limit out of
    alpha_t = 0 nor into sigma_s = 0; those steps are alpha_s D + sigma_s E, without noise. In
    diffusers "sde-dpmsolver" of order 1. Not DDIM(1), which is the same order on the clean
    estimate.

    Args:
        eta: 0 deterministic, 1 the reverse SDE; larger is more noise still.
        noise_scale: factor of the fresh noise alone; 1 is the right variance.

    Raises:
        InvalidInput: a number outside its range.

    Source: Lu et al. 2022, arXiv 2211.01095, section 5; diffusers 0.42.1,
    DPMSolverMultistepScheduler.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    eta: float = 1.0
    noise_scale: float = 1.0

    def __post_init__(self) -> None:
        check_noise(self, self.eta, self.noise_scale)

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        program = Program(grid, registers=1)
        drift = Drift(Estimate.NOISE, self.eta, self.noise_scale)
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            program.stage(now, [drift.first(program.basis, now, after)])
        return program.rows()


@dataclass(frozen=True, slots=True)
@checked
class SDEDPMSolver2M(Multistep):
    """SDE-DPM-Solver-2M: DPMSolver2M with noise, one evaluation per step.

    x_s = (alpha_s / alpha_t) x_t - (1 + eta) sigma_s expm1(h) (e_0 + (e_0 - e_1) / (2r))
          + noise_scale sqrt(eta) sigma_s sqrt(expm1(2h)) xi,  r = h_previous / h

    Weak order 2, history 1. eta = 0 is DPMSolver2M. Ends as SDEDPMSolver1. In diffusers
    "sde-dpmsolver" of order 2. Not diffusers' DPMSolverSDEScheduler, which is DPMppSDE.

    Args:
        eta: 0 deterministic, 1 the reverse SDE; larger is more noise still.
        noise_scale: factor of the fresh noise alone; 1 is the right variance.
        form: MIDPOINT as above; HEUN weighs -(1 + eta) (e_0 - e_1) / r by
            sigma_s (expm1(h) / h - 1).
        lower_order_below: the last step has order 1 if the grid has fewer steps than this; 0 never.
        ending: LOWERED gives the last step order 1 always.

    Raises:
        InvalidInput: a number outside its range.

    Source: Lu et al. 2022, arXiv 2211.01095, section 5; diffusers 0.42.1,
    DPMSolverMultistepScheduler.
    """

    points: ClassVar[int] = 2

    eta: float = 1.0
    noise_scale: float = 1.0
    form: Form = Form.MIDPOINT
    lower_order_below: int = 0
    ending: Ending = Ending.FULL

    def __post_init__(self) -> None:
        check_noise(self, self.eta, self.noise_scale)
        self.check()

    @property
    def drift(self) -> Drift:
        """E, with noise."""
        return Drift(Estimate.NOISE, self.eta, self.noise_scale)
