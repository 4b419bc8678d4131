"""EDM's stochastic sampler and Restart beside k-diffusion, diffusers and their papers' code."""

from itertools import pairwise

import numpy as np

from denoisert.runtime.sampling.compat import Compat
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules import EDM, Final, Karras, Leading, Linear, Trailing
from denoisert.runtime.sampling.solvers import EDMEuler, EDMHeun, Restart
from tests.oracles import float64
from tests.oracles.case import Case, diffusers
from tests.oracles.pair import EPS, SCHEDULES, X0, V, upstream
from tests.runtime.sampling.parity.runge_kutta import Denoiser, levels, start

PATH = EDM(sigma_min=0.02, sigma_max=20.0)
VE = Karras().grid(PATH, 10)
VP = Trailing().grid(Linear(), 10)
LAST = Karras(final=Final.SPACED).grid(Linear(), 8)
STRONG = {"s_churn": 40.0, "s_tmin": 0.05, "s_tmax": 15.0, "s_noise": 1.003}
FAST = {"s_churn": 4.0, "s_noise": 1.003}


def churned(
    grid, correct, *, s_churn=0.0, s_noise=1.0, s_tmin=0.0, s_tmax=np.inf, parametrisation=EPS
):
    """Algorithm 2 of Karras et al., with its correction or without."""

    def reference(network, draws):
        denoise, fresh = Denoiser(network, grid, parametrisation), iter(draws[1:])
        x = start(grid, draws)
        for sigma, after in pairwise(levels(grid)):
            gamma = min(s_churn / grid.steps, 2**0.5 - 1) if s_tmin <= sigma <= s_tmax else 0.0
            hat = sigma + gamma * sigma
            if gamma > 0:
                x = x + (hat**2 - sigma**2) ** 0.5 * s_noise * next(fresh)
            d = denoise.slope(x, hat)
            following = x + (after - hat) * d
            if correct and after != 0.0:
                following = x + (after - hat) * (0.5 * d + 0.5 * denoise.slope(following, after))
            x = following
        return x * grid.alpha[-1]

    return reference


def restart(grid, intervals, gamma, s_noise=1.0, rho=7.0, correct=True):
    """The published sampler; where two draws are added one after the other, parts of one."""

    def reference(network, draws):
        denoise, fresh = Denoiser(network, grid), iter(draws[1:])
        sigmas = levels(grid)

        def step(x, hat, after):
            d = denoise.slope(x, hat)
            euler = x + (after - hat) * d
            if not correct or after == 0.0:
                return euler
            return x + (after - hat) * (0.5 * d + 0.5 * denoise.slope(euler, after))

        def inside(x, low, high, steps):
            index = np.arange(steps + 1)
            t = (high ** (1 / rho) + index / steps * (low ** (1 / rho) - high ** (1 / rho))) ** rho
            jump, lift = t[0] ** 2 - low**2, (t[0] * (1 + gamma)) ** 2 - t[0] ** 2
            xi = next(fresh)
            first, second = np.sqrt([jump, lift]) / np.sqrt(jump + lift)
            x = x + s_noise * np.sqrt(jump) * first * xi
            for j, (t_cur, t_next) in enumerate(pairwise(t)):
                hat = t_cur + gamma * t_cur
                if gamma:
                    part = second * xi if j == 0 else next(fresh)
                    x = x + s_noise * np.sqrt(hat**2 - t_cur**2) * part
                x = step(x, hat, t_next)
            return x

        at = {int(np.argmin(np.abs(np.array(sigmas) - one[0]))): one for one in intervals}
        x = start(grid, draws)
        for i, (sigma, after) in enumerate(pairwise(sigmas)):
            x = step(x, sigma, after)
            if i + 1 in at:
                _, high, rounds, steps = at[i + 1]
                for _ in range(rounds):
                    x = inside(x, after, high, steps)
        return x * grid.alpha[-1]

    return reference


SIGMA_DATA = 0.5


def preconditioned():
    """diffusers' EDM scheduler, whose raw network takes c_in x and answers v of x0 / sigma_data."""
    scheduler = upstream("edm_euler", 9)
    sigma = scheduler.sigmas.numpy()
    size = np.hypot(sigma, SIGMA_DATA)
    times = np.append(scheduler.timesteps.numpy(), np.nan)
    grid = Grid(SIGMA_DATA / size, sigma / size, times, 1.0)

    def reference(network, draws):
        fresh = upstream("edm_euler", 9, prediction_type="v_prediction")
        first = draws[0].reshape(1, 2, 3, 3) * size[0]
        return float64.sample(fresh, network, first) / SIGMA_DATA

    return Case(EDMEuler(), grid, V, "diffusers EDMEulerScheduler", reference)


TWICE = ((0.1, 2.0, 3, 4), (1.0, 8.0, 2, 3))

CASES = [
    Case(EDMEuler(**FAST), VE, EPS, "k-diffusion sample_euler", churned(VE, False, **FAST)),
    Case(EDMEuler(**FAST), LAST, EPS, "k-diffusion sample_euler", churned(LAST, False, **FAST)),
    Case(EDMHeun(**FAST), VE, EPS, "k-diffusion sample_heun", churned(VE, True, **FAST)),
    Case(
        EDMHeun(**STRONG),
        VE,
        X0,
        "Karras et al. 2022, algorithm 2",
        churned(VE, True, **STRONG, parametrisation=X0),
    ),
    Case(
        EDMHeun(**STRONG), VP, EPS, "Karras et al. 2022, algorithm 2", churned(VP, True, **STRONG)
    ),
    Case(EDMHeun(), VE, EPS, "Karras et al. 2022, algorithm 1", churned(VE, True)),
    diffusers(
        EDMEuler(3.0, 0.5, 40.0, 1.01, Compat.DIFFUSERS),
        "euler_discrete",
        Leading(offset=1).grid(Linear(), 10),
        is_ve=True,
        step=lambda draws: {
            "s_churn": 3.0,
            "s_tmin": 0.5,
            "s_tmax": 40.0,
            "s_noise": 1.01,
            "generator": float64.Noises(draws),
        },
        timestep_spacing="leading",
        steps_offset=1,
        **SCHEDULES[Linear()],
    ),
    preconditioned(),
    Case(Restart(TWICE), VE, EPS, "Xu et al. 2023, generate_restart.py", restart(VE, TWICE, 0.0)),
    Case(
        Restart(TWICE, gamma=0.05, s_noise=1.003),
        VE,
        EPS,
        "Xu et al. 2023, generate_restart.py",
        restart(VE, TWICE, 0.05, 1.003),
        "gamma=0.05",
    ),
    Case(
        Restart(TWICE[:1], table=((1.0,),), rho=5.0),
        LAST,
        EPS,
        "Xu et al. 2023, generate_restart.py",
        restart(LAST, TWICE[:1], 0.0, rho=5.0, correct=False),
        "Euler",
    ),
]
