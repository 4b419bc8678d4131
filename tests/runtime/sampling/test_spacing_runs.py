"""Whole runs on newer schedules and spacings, beside diffusers on the same noise and network."""

import math

import numpy as np
import pytest

from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.schedules import (
    EDM,
    BetaQuantile,
    DropLast,
    Exponential,
    Final,
    Flow,
    Growth,
    Karras,
    Leading,
    Levels,
    Linear,
    Linspace,
    Measure,
    ResolutionShifted,
    Rounded,
    ScaledLinear,
    Shifted,
    Stretched,
    Timesteps,
    Trailing,
    ZeroTerminalSNR,
)
from denoisert.runtime.sampling.solvers import DDIM, DPMpp2M, Euler, FlowEuler
from tests.oracles import float64
from tests.oracles.pair import (
    EPS,
    FLOW,
    LAYOUT,
    SCHEDULES,
    SHAPE,
    X0,
    V,
    assert_close,
    draws,
    ours,
    table_of,
    tanh_network,
    theirs,
    upstream,
)

STEPS = 12
BOTH = [Linear(), ScaledLinear()]


def drawn():
    rng = np.random.default_rng(17)
    return tanh_network(rng), draws(rng, STEPS)


@pytest.mark.parametrize("schedule", BOTH, ids=lambda item: type(item).__name__)
@pytest.mark.parametrize(
    ("spacing", "config"),
    [
        (DropLast(Linspace()), {"timestep_spacing": "linspace"}),
        (DropLast(Leading(1)), {"timestep_spacing": "leading", "steps_offset": 1}),
        (
            DropLast(Linspace(), Final.LAST),
            {"timestep_spacing": "linspace", "final_sigmas_type": "sigma_min"},
        ),
        (Rounded(Karras()), {"use_karras_sigmas": True}),
        (Rounded(Exponential()), {"use_lu_lambdas": True}),
    ],
    ids=str,
)
def test_dpm_solver_with_its_own_times(schedule, spacing, config):
    network, noise = drawn()
    scheduler = upstream("dpmsolver_multistep", STEPS, **SCHEDULES[schedule], **config)
    found = ours(DPMpp2M(), spacing.grid(schedule, STEPS), EPS, network, noise)
    assert_close(found, theirs(scheduler, network, noise))


@pytest.mark.parametrize("schedule", BOTH, ids=lambda item: type(item).__name__)
@pytest.mark.parametrize(
    ("spacing", "config"),
    [
        (Exponential(), {"use_exponential_sigmas": True}),
        (BetaQuantile(), {"use_beta_sigmas": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("parametrisation", [EPS, V])
def test_euler_with_levels(schedule, spacing, config, parametrisation):
    network, noise = drawn()
    kind = {EPS: "epsilon", V: "v_prediction"}[parametrisation]
    config = {**SCHEDULES[schedule], **config, "prediction_type": kind}
    grid = spacing.grid(schedule, STEPS)
    expected = theirs(upstream("euler_discrete", STEPS, **config), network, noise, grid)
    assert_close(ours(Euler(), grid, parametrisation, network, noise), expected)


@pytest.mark.parametrize(
    ("spacing", "given"),
    [
        (Timesteps((999.0, 850.0, 545.0, 233.0, 24.0)), {"timesteps": [999, 850, 545, 233, 24]}),
        (Levels((14.0, 6.0, 2.0, 0.5, 0.0)), {"sigmas": [14.0, 6.0, 2.0, 0.5, 0.0]}),
    ],
    ids=["times", "levels"],
)
def test_euler_with_lists(spacing, given):
    network, noise = drawn()
    grid = spacing.grid(ScaledLinear(), spacing.steps)
    scheduler = upstream("euler_discrete", given, **SCHEDULES[ScaledLinear()])
    expected = theirs(scheduler, network, noise, grid)
    assert_close(ours(Euler(), grid, EPS, network, noise), expected)


@pytest.mark.parametrize("schedule", BOTH, ids=lambda item: type(item).__name__)
@pytest.mark.parametrize("parametrisation", [V, X0])
def test_ddim_from_pure_noise(schedule, parametrisation):
    """With 12 steps upstream steps back by 83 times, which misses the next one: 10 here."""
    network, noise = drawn()
    kind = {V: "v_prediction", X0: "sample"}[parametrisation]
    config = {
        **SCHEDULES[schedule],
        "prediction_type": kind,
        "timestep_spacing": "trailing",
        "rescale_betas_zero_snr": True,
        "clip_sample": False,
    }
    grid = Trailing().grid(ZeroTerminalSNR(schedule), 10)
    assert grid.alpha[0] == 0.0
    expected = theirs(upstream("ddim", 10, **config), network, noise)
    assert_close(ours(DDIM(), grid, parametrisation, network, noise), expected)


@pytest.mark.parametrize("growth", Growth)
@pytest.mark.parametrize("terminal", [None, 0.1])
def test_a_flow_of_its_resolution(growth, terminal):
    network, noise = drawn()
    spacing = ResolutionShifted(Trailing(), 1600, growth=growth)
    mu = spacing.mu
    given = {"sigmas": list(np.linspace(1.0, 1 / STEPS, STEPS)), "mu": mu}
    scheduler = upstream(
        "flow_match_euler_discrete",
        given,
        use_dynamic_shifting=True,
        time_shift_type=growth.value,
        shift_terminal=terminal,
    )
    whole = spacing if terminal is None else Stretched(spacing, terminal)
    grid = whole.grid(Flow(time_scale=1000.0), STEPS)
    expected = theirs(scheduler, network, noise)
    assert_close(ours(FlowEuler(), grid, FLOW, network, noise), expected)


@pytest.mark.parametrize("name", ["karras", "exponential", "beta"])
def test_a_flow_with_levels_of_its_time(name):
    network, noise = drawn()
    spacing = {
        "karras": Karras(measure=Measure.TIME),
        "exponential": Exponential(measure=Measure.TIME),
        "beta": BetaQuantile(measure=Measure.TIME),
    }[name]
    given = {"num_inference_steps": STEPS, "mu": math.log(3.0)}
    config = {"use_dynamic_shifting": True, f"use_{name}_sigmas": True}
    scheduler = upstream("flow_match_euler_discrete", given, **config)
    grid = Shifted(spacing, 3.0).grid(Flow(time_scale=1000.0), STEPS)
    expected = theirs(scheduler, network, noise)
    assert_close(ours(FlowEuler(), grid, FLOW, network, noise), expected)


def test_an_edm_network_with_its_preconditioning_inside():
    """Upstream scales input and output around the raw network; our graph has both inside."""
    raw, noise = drawn()
    data = 0.5

    def inside(latent, time, _):
        sigma = math.exp(4.0 * time)
        root = math.hypot(sigma, data)
        answer = raw(latent / root, time)
        return (data / root) ** 2 * latent + sigma * data / root * answer

    grid = Karras().grid(EDM(), STEPS)
    found = execute(table_of(Euler(), grid, X0), LAYOUT, inside, noise).latent
    scheduler = upstream("edm_euler", STEPS)
    start = scheduler.sigmas[0].item() * noise[0].reshape(SHAPE)
    assert_close(found, float64.sample(scheduler, raw, start).reshape(-1))
