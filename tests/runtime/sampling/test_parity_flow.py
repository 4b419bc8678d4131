"""Flow solvers against diffusers, float32 against float64, and where diffusers deviates."""

import numpy as np
import pytest
import torch

from denoisert.runtime.sampling.schedules import (
    Flow,
    Leading,
    Linear,
    Linspace,
    Trailing,
)
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DPMpp2M,
    Euler,
    FlowEuler,
    FlowHeun,
    Heun,
)
from denoisert.runtime.sampling.table import FLOAT32_ROUNDING
from tests.oracles.pair import (
    EPS,
    FLOW,
    SCHEDULES,
    V,
    assert_close,
    draws,
    ours,
    table_of,
    tanh_network,
    theirs,
    upstream,
)


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("steps", [1, 4, 11])
@pytest.mark.parametrize("solver", [FlowEuler(), Euler(), DDIM()], ids=str)
def test_flow_euler(shift, steps, solver):
    """With the even sigmas that pipelines pass to the scheduler, which are our Trailing."""
    rng = np.random.default_rng(steps)
    network, noise = tanh_network(rng), draws(rng, steps)
    sigmas = {"sigmas": np.linspace(1.0, 1.0 / steps, steps).tolist()}
    expected = theirs(upstream("flow_match_euler_discrete", sigmas, shift=shift), network, noise)
    grid = Trailing().grid(Flow(shift, time_scale=1000.0), steps)
    assert_close(ours(solver, grid, FLOW, network, noise), expected)


@pytest.mark.parametrize(
    ("solver", "name"),
    [(FlowEuler(), "flow_match_euler_discrete"), (FlowHeun(), "flow_match_heun_discrete")],
)
def test_flow_solvers_with_the_schedulers_own_times(solver, name):
    rng = np.random.default_rng(8)
    network, noise = tanh_network(rng), draws(rng, 9)
    expected = theirs(upstream(name, 9), network, noise)
    grid = Linspace().grid(Flow(time_scale=1000.0), 9)
    assert_close(ours(solver, grid, FLOW, network, noise), expected)


@pytest.mark.parametrize("steps", [3, 12, 18])
def test_dpmpp_2m_on_a_flow_from_pure_noise(steps):
    """alpha = 0 at the start: upstream's logarithms become infinite there, our ratios do not."""
    rng = np.random.default_rng(steps)
    network, noise = tanh_network(rng), draws(rng, steps)
    grid = Trailing().grid(Flow(shift=2.0, time_scale=1000.0), steps)
    config = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    scheduler = upstream("dpmsolver_multistep", steps, **config)
    scheduler.sigmas = torch.from_numpy(grid.sigma)
    scheduler.timesteps = torch.from_numpy(grid.model_time[:-1])
    expected = theirs(scheduler, network, noise)
    assert_close(ours(DPMpp2M(), grid, FLOW, network, noise), expected)


FLOAT32_CASES = [
    *(
        (solver, schedule, V)
        for solver in (DDIM(1.0), Euler(), Heun(), DPMpp2M())
        for schedule in SCHEDULES
    ),
    *((solver, Flow(time_scale=1000.0), FLOW) for solver in (FlowEuler(), FlowHeun(), DPMpp2M())),
]


@pytest.mark.parametrize("steps", [12, 30])
@pytest.mark.parametrize(("solver", "schedule", "parametrisation"), FLOAT32_CASES)
def test_float32_stays_near_the_float64_truth(steps, solver, schedule, parametrisation):
    rng = np.random.default_rng(steps)
    network, noise = tanh_network(rng), draws(rng, steps)
    single = [draw.astype(np.float32) for draw in noise]
    exact = [draw.astype(np.float64) for draw in single]
    grid = Trailing().grid(schedule, steps)
    truth = ours(solver, grid, parametrisation, network, exact)
    found = ours(solver, grid, parametrisation, network, single)
    assert found.dtype == np.float32
    growth = table_of(solver, grid, parametrisation).amplification
    assert_close(found, truth, max(2e-6, 4 * FLOAT32_ROUNDING * growth))


def test_upstream_ddim_and_euler_disagree_on_linspace():
    """DDIM upstream steps back by 1000 // N whatever the spacing is; with linspace that misses.

    Its Euler goes to the next time of the list. Our two solvers are one update and equal that one.
    """
    rng = np.random.default_rng(5)
    network, noise = tanh_network(rng), draws(rng, 10)
    config = {"timestep_spacing": "linspace", **SCHEDULES[Linear()]}
    grid = Linspace().grid(Linear(), 10)
    euler = theirs(upstream("euler_discrete", 10, **config), network, noise, grid)
    ddim = theirs(upstream("ddim", 10, clip_sample=False, **config), network, noise)
    assert np.abs(ddim - euler).max() / np.abs(euler).max() > 1e-3
    assert_close(ours(DDIM(), grid, EPS, network, noise), euler)
    assert_close(ours(Euler(), grid, EPS, network, noise), euler)


def test_upstream_shifts_the_end_of_its_flow_times_twice():
    upstream_times = upstream("flow_match_euler_discrete", 8, shift=3.0).sigmas.numpy()
    grid = Linspace().grid(Flow(shift=3.0), 8)
    once = 3.0 * 0.001 / (1.0 + 2.0 * 0.001)
    twice = 3.0 * once / (1.0 + 2.0 * once)
    np.testing.assert_allclose(grid.sigma[-2], once, rtol=1e-12)
    np.testing.assert_allclose(upstream_times[-2], twice, rtol=1e-6)


def test_upstream_dpm_solver_spaces_other_times_under_the_same_names():
    for name, spacing in (("linspace", Linspace()), ("leading", Leading())):
        config = {"timestep_spacing": name, **SCHEDULES[Linear()]}
        times = upstream("dpmsolver_multistep", 10, **config).timesteps.numpy()
        np.testing.assert_array_equal(times, spacing.grid(Linear(), 11).model_time[:10])
