"""Solvers of papers, each loop written out in the paper's own coordinates; flows of diffusers."""

import numpy as np

from denoisert.runtime.sampling.schedules import (
    Flow,
    Leading,
    Linear,
    ResidualBridgePath,
    ScaledLinear,
    Trailing,
    ZeroTerminalSNR,
)
from denoisert.runtime.sampling.solvers import (
    BDIA,
    DDIM,
    DDPM,
    EDICT,
    ConsistencyMultistep,
    FlowEuler,
    FlowEulerAncestral,
    InterpolantSDE,
    NoiseCorrected,
    ResidualBridge,
    TwoForwardOneBack,
)
from tests.oracles.case import Case, diffusers, shaped
from tests.oracles.float64 import Noises
from tests.oracles.pair import EPS, FLOW, SCHEDULES, X0, V

VP = Trailing().grid(Linear(), 9)
TIMED = Trailing().grid(Flow(time_scale=1000.0), 8)
BRIDGE = Trailing().grid(ResidualBridgePath(), 10)


def _ddim(x, eps, now, to):
    """x at another level of the VP grid, eps unchanged."""
    ratio = VP.alpha[to] / VP.alpha[now]
    return ratio * x + (VP.sigma[to] - ratio * VP.sigma[now]) * eps


def edict(network, draws):
    x = y = draws[0]
    for step in range(9):
        time = VP.model_time[step]
        x_mid = _ddim(x, network(y, time), step, step + 1)
        y_mid = _ddim(y, network(x_mid, time), step, step + 1)
        x = 0.93 * x_mid + 0.07 * y_mid
        y = 0.93 * y_mid + 0.07 * x
    return x


def bdia(gamma):
    """z_{i-1} = gamma (z_{i+1} - z_i) - gamma (back - z_i) + z_i + (forward - z_i)."""

    def loop(network, draws):
        x, before = draws[0], None
        for step in range(9):
            eps = network(x, VP.model_time[step])
            after = _ddim(x, eps, step, step + 1)
            if before is not None:
                after = after + gamma * (before - _ddim(x, eps, step, step - 1))
            before, x = x, after
        return x

    return loop


def two_forward_one_back(network, draws):
    """On alpha, sigma of the paper; the network answers v."""
    x, noise = draws[0], iter(draws[1:])
    for step in range(9):
        a, s = VP.alpha[step], VP.sigma[step]
        v = network(x, VP.model_time[step])
        clean, eps = a * x - s * v, s * x + a * v
        ahead = min(step + 2, 9)
        x = VP.alpha[ahead] * clean + VP.sigma[ahead] * eps
        if step < 8:
            ratio = VP.alpha[step + 1] / VP.alpha[ahead]
            back = VP.sigma[step + 1] ** 2 - ratio**2 * VP.sigma[ahead] ** 2
            x = ratio * x + np.sqrt(back) * next(noise)
    return x


def noise_corrected(network, draws):
    """x0 from the network, the noise of the first step is x itself."""
    x = start = draws[0]
    for step in range(9):
        a, s = VP.alpha[step], VP.sigma[step]
        v = network(x, VP.model_time[step])
        clean, eps = a * x - s * v, s * x + a * v
        x = VP.alpha[step + 1] * clean + VP.sigma[step + 1] * (start if step == 0 else eps)
    return x


def interpolant(network, draws):
    """Euler-Maruyama in t with the score of the velocity, -(x + (1 - t) b) / t."""
    x, noise, h = draws[0], iter(draws[1:]), 1 / 8
    for step in range(8):
        t = 1 - step * h
        b = network(x, 1000 * t)
        if step == 7:
            return x - h * b
        eps = 0.7 * t
        x = x - h * (b + eps * (x + (1 - t) * b) / t) + np.sqrt(2 * eps * h) * next(noise)
    return x


def bridge(network, draws):
    """MiliLab/RDBM's ddim_sample without its clip, mu the source."""
    theta, sigma = ResidualBridgePath().at(np.arange(100.0))
    x = mu = draws[0]
    for now in range(99, 0, -10):
        clean, then = network(x, now), now - 10
        if then < 0:
            return clean
        ratio = sigma[then] / sigma[now] if now < 99 else 0.0
        keep = theta[then] - theta[now] * ratio
        x = mu + ratio * (x - mu) + keep * (clean - mu)
    return x


def generated(draws):
    return {"generator": Noises(draws)}


SIGMAS = {"sigmas": [1 - i / 8 for i in range(8)]}
CASES = [
    Case(EDICT(), VP, EPS, "Wallace et al. 2022", edict),
    *(Case(BDIA(g), VP, EPS, "Zhang et al. 2023", bdia(g)) for g in (1.0, 0.5, 0.0)),
    Case(TwoForwardOneBack(), VP, V, "Meng et al. 2023", two_forward_one_back),
    Case(NoiseCorrected(), VP, V, "Kohler et al. 2024", noise_corrected),
    Case(InterpolantSDE(0.7), TIMED, FLOW, "Albergo et al. 2023", interpolant),
    Case(ResidualBridge(), BRIDGE, X0, "MiliLab/RDBM ddim_sample", bridge),
    diffusers(FlowEuler(), "flow_match_euler_discrete", TIMED, FLOW, times=SIGMAS),
    diffusers(
        ConsistencyMultistep(),
        "flow_match_euler_discrete",
        TIMED,
        FLOW,
        times=SIGMAS,
        step=generated,
        stochastic_sampling=True,
    ),
    *(
        diffusers(
            FlowEulerAncestral(eta, scale),
            "ltx_euler_ancestral_rf",
            TIMED,
            FLOW,
            times={"sigmas": [*SIGMAS["sigmas"], 0.0]},
            step=generated,
            tolerance=2e-11,  # upstream adds 1e-12 to a divisor of 0.1
            eta=eta,
            s_noise=scale,
        )
        for eta, scale in ((1.0, 1.0), (0.4, 0.9), (0.0, 1.0))
    ),
    diffusers(
        DDIM(0.5),
        "ddim_parallel",
        Leading().grid(ScaledLinear(), 10),
        step=lambda draws: {"eta": 0.5, "variance_noise": shaped(draws)},
        clip_sample=False,
        **SCHEDULES[ScaledLinear()],
    ),
    diffusers(
        DDPM(),
        "ddpm_parallel",
        Leading().grid(Linear(), 10),
        step=generated,
        clip_sample=False,
        **SCHEDULES[Linear()],
    ),
    diffusers(
        DDIM(),
        "ddim_cogvideox",
        Trailing().grid(ZeroTerminalSNR(ScaledLinear()), 10),
        V,
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        snr_shift_scale=1.0,
        **SCHEDULES[ScaledLinear()],
    ),
]
