"""LCM, TCD, consistency and flow-map solvers beside diffusers."""

import numpy as np
import torch

from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules import (
    Final,
    Flow,
    Linear,
    ScaledLinear,
    Timesteps,
    Trailing,
)
from denoisert.runtime.sampling.solvers import LCM, TCD, ConsistencyMultistep, FlowMap, StepTold
from tests.oracles import float64
from tests.oracles.case import Case, diffusers
from tests.oracles.pair import EPS, FLOW, SCHEDULES, SHAPE, X0, V, theirs, upstream

# The times that diffusers' LCM and TCD visit with 4 steps of a distillation of 50.
TIMES = (999.0, 759.0, 499.0, 259.0)
ANGLES = (1.57, 1.2, 0.6, 0.0)
SIGMAS = (80.0, 24.4, 5.84, 0.9)  # of a consistency model's Karras levels, some of them


def given(draws):
    """diffusers' random generator: our draws in order."""
    return {"generator": float64.Noises(draws)}


def scm(network, draws):
    """SCM's latents are divided by the data's deviation, as its pipeline does; here it is 1.

    Its loop leaves out the last time, towards which it draws a noise of gain sin(0).
    """
    scheduler = upstream("scm", 2, prediction_type="trigflow", sigma_data=1.0)
    scheduler.timesteps = torch.tensor(ANGLES, dtype=torch.float64)
    x, noises = torch.from_numpy(draws[0].reshape(SHAPE)), float64.Noises(draws[1:])
    x = x * np.sin(ANGLES[0])
    for t in scheduler.timesteps[:-1]:
        output = torch.from_numpy(network(x.numpy(), float(t)))
        x = scheduler.step(output, t, x, generator=noises).prev_sample
    return x.numpy()


def consistency_model(network, draws):
    """The raw network lies inside the boundary condition: D = c_out F + c_skip x_ve."""
    scheduler = upstream("consistency_models", 2, clip_denoised=False)
    scheduler.sigmas = torch.tensor([*SIGMAS, 0.002], dtype=torch.float64)
    scheduler.timesteps = torch.tensor(
        [scheduler.sigma_to_t(np.array([s]))[0] for s in SIGMAS], dtype=torch.float64
    )
    x, noises = torch.from_numpy(draws[0].reshape(SHAPE)) * SIGMAS[0], float64.Noises(draws[1:])
    for sigma, t in zip(SIGMAS, scheduler.timesteps, strict=True):
        scheduler.scale_model_input(x, t)
        skip, out = scheduler.get_scalings_for_boundary_condition(
            torch.tensor(sigma, dtype=torch.float64)
        )
        wanted = torch.from_numpy(network(x.numpy(), sigma))  # our network answers D itself
        x = scheduler.step((wanted - skip * x) / out, t, x, generator=noises).prev_sample
    return x.numpy()


def flow_lcm(network, draws):
    scheduler = upstream("flow_match_lcm", {"sigmas": [1.0, 0.75, 0.5, 0.25]})
    return theirs(scheduler, network, draws, generator=float64.Noises(draws[1:]))


CM_GRID = Grid(np.ones(5), np.array([*SIGMAS, 0.002]), np.array([*SIGMAS, np.nan]), SIGMAS[0])
CM_SOURCE = "diffusers CMStochasticIterativeScheduler"
SCM_GRID = Grid(
    np.cos(ANGLES), np.sin(ANGLES), np.array([*ANGLES[:-1], np.nan]), float(np.sin(ANGLES[0]))
)

CASES = [
    *(
        diffusers(
            LCM(),
            "lcm",
            Timesteps(TIMES).grid(schedule, 4),
            parametrisation,
            step=given,
            times={"timesteps": list(map(int, TIMES))},
            clip_sample=False,
            **SCHEDULES[schedule],
        )
        for schedule, parametrisation in ((ScaledLinear(), EPS), (Linear(), V), (Linear(), X0))
    ),
    *(
        diffusers(
            TCD(gamma),
            "tcd",
            Timesteps(TIMES, Final.LAST).grid(ScaledLinear(), 4),
            parametrisation,
            step=lambda draws, gamma=gamma: {"eta": gamma, **given(draws)},
            times={"timesteps": list(map(int, TIMES))},
            clip_sample=False,
            **SCHEDULES[ScaledLinear()],
        )
        for gamma, parametrisation in ((0.3, EPS), (0.0, V), (1.0, EPS), (0.5, V))
    ),
    Case(ConsistencyMultistep(0.002), CM_GRID, X0, CM_SOURCE, consistency_model),
    Case(ConsistencyMultistep(), SCM_GRID, V, "diffusers SCMScheduler", scm),
    Case(
        ConsistencyMultistep(),
        Trailing().grid(Flow(time_scale=1000.0), 4),
        FLOW,
        "diffusers FlowMatchLCMScheduler",
        flow_lcm,
    ),
    diffusers(
        FlowMap(StepTold.END),
        "flow_map_euler_discrete",
        Trailing().grid(Flow(time_scale=1000.0), 5),
        FLOW,
        times={"sigmas": [1.0, 0.8, 0.6, 0.4, 0.2]},
    ),
]
