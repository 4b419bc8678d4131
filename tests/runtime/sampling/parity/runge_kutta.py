"""Runge-Kutta methods beside diffusers, k-diffusion, diff-sampler and plain loops."""

from itertools import pairwise

import numpy as np

from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.operations import Clip
from denoisert.runtime.sampling.schedules import (
    EDM,
    Exponential,
    Final,
    Flow,
    Karras,
    Leading,
    Linear,
    ScaledLinear,
    Trailing,
)
from denoisert.runtime.sampling.solvers import (
    DPM2,
    Bounded,
    DPM2Ancestral,
    FlowHeun,
    FlowRungeKutta,
    Heun,
    RungeKutta,
    Scheme,
)
from tests.oracles import float64
from tests.oracles.case import Case, diffusers
from tests.oracles.pair import EPS, FLOW, SCHEDULES, SHAPE, X0, V, theirs, upstream

TRAILING = {"timestep_spacing": "trailing"}
VP = Trailing().grid(Linear(), 10)
VE = Karras(final=Final.ZERO).grid(EDM(sigma_min=0.02, sigma_max=20.0), 10)
LEVELS = Exponential(final=Final.SPACED).grid(ScaledLinear(), 11)


class Denoiser:
    """D of x / alpha at a level, as k-diffusion wraps a network that answers eps or x0."""

    def __init__(self, network, grid, parametrisation=EPS):
        self.network, self.path, self.parametrisation = network, grid.path, parametrisation

    def __call__(self, x, level):
        (alpha,), _ = self.path.coordinates(np.array([level]))
        (time,) = self.path.model_time(np.array([level]))
        answer = self.network(alpha * x, time)
        return answer if self.parametrisation is X0 else x - level * answer

    def slope(self, x, level):
        """dx / dsigma."""
        return (x - self(x, level)) / level


def levels(grid):
    return [grid[i].sigma_ve for i in range(grid.steps + 1)]


def start(grid, draws):
    return grid.noise_gain * draws[0] / grid.alpha[0]


def dpm_2(grid, ratio=0.5, s_churn=0.0, s_noise=1.0):
    """k-diffusion's sample_dpm_2 as of its middle in log sigma, with diff-sampler's ratio."""

    def reference(network, draws):
        denoise, sigmas, fresh = Denoiser(network, grid), levels(grid), iter(draws[1:])
        x = start(grid, draws)
        gamma = min(s_churn / grid.steps, np.sqrt(2.0) - 1.0)
        for sigma, after in pairwise(sigmas):
            hat = sigma * (1.0 + gamma)
            if gamma > 0.0:
                x = x + s_noise * next(fresh) * np.sqrt(hat**2 - sigma**2)
            d = denoise.slope(x, hat)
            if after == 0.0:
                x = x - hat * d
                continue
            middle = np.exp((1.0 - ratio) * np.log(hat) + ratio * np.log(after))
            d_2 = denoise.slope(x + (middle - hat) * d, middle)
            x = x + (after - hat) * (d_2 / (2.0 * ratio) + (1.0 - 1.0 / (2.0 * ratio)) * d)
        return x * grid.alpha[-1]

    return reference


def dpm_2_ancestral(grid, eta, s_noise):
    """k-diffusion's sample_dpm_2_ancestral."""

    def reference(network, draws):
        denoise, fresh = Denoiser(network, grid), iter(draws[1:])
        x = start(grid, draws)
        for sigma, after in pairwise(levels(grid)):
            up = min(after, eta * np.sqrt(after**2 * (sigma**2 - after**2) / sigma**2))
            down = np.sqrt(after**2 - up**2)
            d = denoise.slope(x, sigma)
            if down == 0.0:
                x = x - sigma * d
                continue
            middle = np.sqrt(sigma * down)
            d_2 = denoise.slope(x + (middle - sigma) * d, middle)
            x = x + (down - sigma) * d_2 + s_noise * up * next(fresh)
        return x * grid.alpha[-1]

    return reference


def rk4(grid):
    """The classical method on dx / dsigma, Euler into 0."""

    def reference(network, draws):
        denoise, x = Denoiser(network, grid), start(grid, draws)
        for sigma, after in pairwise(levels(grid)):
            h = after - sigma
            a = denoise.slope(x, sigma)
            if after == 0.0:
                x = x + h * a
                continue
            b = denoise.slope(x + h / 2 * a, sigma + h / 2)
            c = denoise.slope(x + h / 2 * b, sigma + h / 2)
            d = denoise.slope(x + h * c, after)
            x = x + h / 6 * (a + 2 * b + 2 * c + d)
        return x * grid.alpha[-1]

    return reference


def on_velocity(grid, step):
    """A step of dx / dt = u(x, t) on a flow grid, `step(u, x, t, h)`."""

    def reference(network, draws):
        x = draws[0]
        for t, after in pairwise(grid.sigma.tolist()):
            x = step(lambda y, s: network(y, 1000.0 * s), x, t, after - t)
        return x

    return reference


def midpoint(u, x, t, h):
    return x + h * u(x + h / 2 * u(x, t), t + h / 2)


def three_eighths(u, x, t, h):
    """torchdiffeq's rk4; Euler into 0."""
    a = u(x, t)
    if t + h == 0.0:
        return x + h * a
    b = u(x + h / 3 * a, t + h / 3)
    c = u(x + h * (b - a / 3), t + 2 * h / 3)
    d = u(x + h * (a - b + c), t + h)
    return x + h / 8 * (a + 3 * b + 3 * c + d)


def heun_grid(steps, shift):
    """diffusers' own times, the end of which it shifts twice."""
    sigma = upstream("flow_match_heun_discrete", steps, shift=shift).sigmas.numpy()
    sigma = np.append(sigma[:1], sigma[1::2])
    return Grid(1.0 - sigma, sigma, 1000.0 * sigma, 1.0, path=Flow(time_scale=1000.0))


def heun_case(steps, shift):
    def reference(network, draws):
        scheduler = upstream("flow_match_heun_discrete", steps, shift=shift)
        return theirs(scheduler, network, [draws[0].reshape(SHAPE)])

    source = "diffusers FlowMatchHeunDiscreteScheduler"
    return Case(FlowHeun(), heun_grid(steps, shift), FLOW, source, reference, f"shift={shift}")


def generator(draws):
    return {"generator": float64.Noises(draws)}


FLOWS = [Trailing().grid(Flow(shift, 1000.0), 9) for shift in (1.0, 3.0)]
KARRAS_LAST = Karras(final=Final.SPACED).grid(Linear(), 8)
CHURN = {"s_churn": 4.0, "s_noise": 1.003}

CASES = [
    diffusers(
        Bounded(Heun(), Clip(-1.0, 1.0, rederive=True)),
        "heun_discrete",
        VP,
        is_ve=True,
        clip_sample=True,
        **SCHEDULES[Linear()],
        **TRAILING,
    ),
    diffusers(DPM2(), "k_dpm_2_discrete", VP, is_ve=True, **SCHEDULES[Linear()], **TRAILING),
    diffusers(
        DPM2(),
        "k_dpm_2_discrete",
        Leading(offset=1).grid(ScaledLinear(), 10),
        V,
        is_ve=True,
        timestep_spacing="leading",
        steps_offset=1,
        **SCHEDULES[ScaledLinear()],
    ),
    *(
        diffusers(
            DPM2Ancestral(),
            "k_dpm_2_ancestral_discrete",
            VP,
            parametrisation,
            is_ve=True,
            step=generator,
            **SCHEDULES[Linear()],
            **TRAILING,
        )
        for parametrisation in (EPS, V)
    ),
    Case(DPM2(), VE, EPS, "k-diffusion sample_dpm_2", dpm_2(VE)),
    Case(DPM2(**CHURN), VE, EPS, "k-diffusion sample_dpm_2", dpm_2(VE, **CHURN), "s_churn=4"),
    Case(DPM2(**CHURN), VP, EPS, "k-diffusion sample_dpm_2", dpm_2(VP, **CHURN), "on vp"),
    Case(DPM2(ratio=0.4), LEVELS, EPS, "diff-sampler dpm_2_sampler", dpm_2(LEVELS, 0.4), "r=0.4"),
    Case(
        DPM2Ancestral(0.7, 1.1),
        VE,
        EPS,
        "k-diffusion sample_dpm_2_ancestral",
        dpm_2_ancestral(VE, 0.7, 1.1),
    ),
    Case(
        DPM2Ancestral(),
        KARRAS_LAST,
        EPS,
        "k-diffusion sample_dpm_2_ancestral",
        dpm_2_ancestral(KARRAS_LAST, 1.0, 1.0),
        "ends above 0",
    ),
    Case(RungeKutta(), VE, EPS, "RK4 on dx / dsigma", rk4(VE)),
    Case(RungeKutta(), LEVELS, EPS, "RK4 on dx / dsigma", rk4(LEVELS), "ends above 0"),
    *(heun_case(9, shift) for shift in (1.0, 3.0)),
    *(
        Case(FlowRungeKutta(scheme), grid, FLOW, f"{step.__name__} in t", on_velocity(grid, step))
        for grid in FLOWS
        for scheme, step in ((Scheme.MIDPOINT, midpoint), (Scheme.THREE_EIGHTHS, three_eighths))
    ),
]
