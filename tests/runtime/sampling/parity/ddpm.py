"""DDPM beside diffusers' DDPM and UnCLIP schedulers."""

import itertools

import torch

from denoisert.runtime.sampling.operations import Clip, DynamicThreshold
from denoisert.runtime.sampling.schedules import (
    Cosine,
    Leading,
    Linear,
    Linspace,
    ScaledLinear,
    Timesteps,
)
from denoisert.runtime.sampling.solvers import DDPM, Bounded
from tests.oracles import float64
from tests.oracles.case import Case, diffusers
from tests.oracles.pair import EPS, SCHEDULES, SHAPE, UPSTREAM_NAME, X0, V, upstream


def generator(draws):
    return {"generator": float64.Noises(draws)}


def ddpm(solver, schedule, parametrisation, **config):
    """At leading times: where the last time is not 0 upstream draws noise in the last step."""
    config = {"clip_sample": False, **config, **SCHEDULES[schedule]}
    grid = Leading().grid(schedule, 10)
    return diffusers(solver, "ddpm", grid, parametrisation, step=generator, **config)


def given(times):
    """diffusers' DDPM at times of unequal distance."""
    config = {"clip_sample": False, "variance_type": "fixed_large", **SCHEDULES[Linear()]}
    grid = Timesteps(tuple(map(float, times))).grid(Linear(), len(times))
    told = {"timesteps": times}
    return diffusers(DDPM(gamma=1.0), "ddpm", grid, EPS, step=generator, times=told, **config)


def unclip(solver, parametrisation, **config):
    """diffusers' UnCLIP, whose pipeline tells every step where the next one is."""
    grid = Linspace().grid(Cosine(), 12)

    def reference(network, draws):
        config["prediction_type"] = UPSTREAM_NAME[parametrisation]
        scheduler = upstream("unclip", 12, **config)
        assert scheduler.timesteps.tolist() == grid.model_time[:-1].tolist()
        x, noises = torch.from_numpy(draws[0].reshape(SHAPE)), float64.Noises(draws[1:])
        times = [*scheduler.timesteps.tolist(), None]
        for t, previous in itertools.pairwise(times):
            answer = torch.from_numpy(network(x.numpy(), float(t)))
            step = scheduler.step(answer, t, x, prev_timestep=previous, generator=noises)
            x = step.prev_sample
        return x.numpy()

    settings = ", ".join(f"{key}={value}" for key, value in config.items())
    return Case(solver, grid, parametrisation, "diffusers UnCLIPScheduler", reference, settings)


THRESHOLD = {
    "thresholding": True,
    "dynamic_thresholding_ratio": 0.9,
    "sample_max_value": 2.0,
}

CASES = [
    ddpm(DDPM(), Linear(), EPS, variance_type="fixed_small"),
    ddpm(DDPM(), Cosine(), V, variance_type="fixed_small_log"),
    ddpm(DDPM(gamma=1.0), ScaledLinear(), X0, variance_type="fixed_large"),
    ddpm(DDPM(gamma=1.0), Linear(), EPS, variance_type="fixed_large"),
    ddpm(Bounded(DDPM(), Clip()), Linear(), EPS, clip_sample=True),
    ddpm(
        Bounded(DDPM(gamma=1.0), Clip(-0.7, 0.7)),
        Linear(),
        V,
        clip_sample=True,
        clip_sample_range=0.7,
        variance_type="fixed_large",
    ),
    ddpm(Bounded(DDPM(), DynamicThreshold(0.9, 2.0)), Linear(), V, **THRESHOLD),
    given([980, 940, 700, 650, 400, 200, 90, 30, 11, 0]),
    unclip(DDPM(), EPS, clip_sample=False),
    unclip(Bounded(DDPM(), Clip(-2.0, 2.0)), X0, clip_sample=True, clip_sample_range=2.0),
]
