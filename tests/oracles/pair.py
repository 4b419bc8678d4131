"""One sampler twice on the same noise and network: our table, and diffusers' scheduler in float64.

States of diffusers' sigma solvers are x / alpha: starts and results are converted, nothing else.
"""

import inspect

import numpy as np

from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Cosine, Linear, ScaledLinear
from denoisert.runtime.sampling.solvers import Heun
from tests.oracles import float64

TOLERANCE = 1e-12
EPS, V, X0, FLOW = (Parametrisation(name) for name in ("eps", "v", "x0", "flow"))
LAYOUT = StateLayout((Part("image", (2, 3, 3)),))
SHAPE = (1, 2, 3, 3)
UPSTREAM_NAME = {EPS: "epsilon", V: "v_prediction", X0: "sample", FLOW: "flow_prediction"}
SCHEDULES = {
    Linear(): {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    ScaledLinear(): {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    Cosine(): {"beta_schedule": "squaredcos_cap_v2"},
}


def draws(rng, steps):
    """The initial noise and one draw for each step."""
    return [rng.standard_normal(LAYOUT.elements) for _ in range(steps + 1)]


def tanh_network(rng):
    """A fixed random network of latent and time; it is nobody's exact denoiser."""
    width = 24
    first = rng.standard_normal((width, LAYOUT.elements)) / 4
    last = rng.standard_normal((LAYOUT.elements, width)) / 4
    bias = rng.standard_normal((2, width))

    def answer(latent, time):
        hidden = first @ latent.reshape(-1) + bias[0] + bias[1] * np.cos(time / 300)
        return (last @ np.tanh(hidden)).reshape(latent.shape)

    return answer


def table_of(solver, grid, parametrisation):
    return fold(solver.rows(grid), parametrisation, Unguided())


def ours(solver, grid, parametrisation, network, noise):
    table = table_of(solver, grid, parametrisation)
    return execute(table, LAYOUT, lambda latent, time, _: network(latent, time), noise).latent


def scheduler_class(name):
    """The float64 scheduler of `diffusers.schedulers.scheduling_<name>`."""
    module = float64.module(name)
    (kind,) = [
        value
        for key, value in vars(module).items()
        if key.endswith("Scheduler") and value.__module__ == module.__name__
    ]
    return kind


def takes_prediction_type(name):
    """Whether the scheduler can be told what the network answers."""
    return "prediction_type" in inspect.signature(scheduler_class(name).__init__).parameters


def upstream(name, steps, **config):
    """A float64 scheduler with its timesteps set, from a step count or what else it is given."""
    scheduler = scheduler_class(name)(**config)
    scheduler.set_timesteps(
        **(steps if isinstance(steps, dict) else {"num_inference_steps": steps})
    )
    return scheduler


def theirs(scheduler, network, noise, grid=None, **step):
    """diffusers' sample from the same noise; a grid means that its states are x / alpha."""
    first, last = (1.0, 1.0) if grid is None else (grid.alpha[0], grid.alpha[-1])
    start = noise[0].reshape(SHAPE) / first
    return float64.sample(scheduler, network, start, **step).reshape(-1) * last


def their_estimates(scheduler, network, noise, grid=None, **step):
    """diffusers' clean estimate at the end of every step, from the same noise."""
    start = noise[0].reshape(SHAPE) / (1.0 if grid is None else grid.alpha[0])
    return [
        float64.clean(scheduler, stage).reshape(-1)
        for stage in float64.stages(scheduler, network, start, **step)
        if stage.ends_step
    ]


def assert_close(found, expected, tolerance=TOLERANCE):
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error <= tolerance, f"relative error {error:.2e}"


def tolerance_of(solver, grid):
    """1e-12, but upstream's Heun subtracts states x / alpha of size sigma_ve.

    Only the noise end of the cosine schedule, sigma_ve = 2e4, is high enough to matter. There
    upstream is 3e-11 from our table run in extended precision, and our float64 run 8e-15.
    """
    rounding = 2.0**-53 * grid[0].sigma_ve
    return max(TOLERANCE, 64 * rounding) if isinstance(solver, Heun) else TOLERANCE
