"""Every solver against diffusers 0.42.1 in float64, on the same noise and a nonlinear network.

States of diffusers' sigma solvers are x / alpha: starts and results are converted, nothing else.
"""

import numpy as np
import pytest
import torch

from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import Mixture, execute
from denoisert.runtime.sampling.oracle import network as raw_network
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import (
    Cosine,
    Final,
    Flow,
    Karras,
    Leading,
    Linear,
    Linspace,
    ScaledLinear,
    Trailing,
)
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DPMpp2M,
    Euler,
    EulerAncestral,
    FlowEuler,
    FlowHeun,
    Heun,
)
from denoisert.runtime.sampling.table import FLOAT32_ROUNDING
from tests.oracles import float64

TOLERANCE = 1e-12
LAYOUT = StateLayout((Part("image", (2, 3, 3)),))
SHAPE = (1, 2, 3, 3)
EPS, V, X0, FLOW = (Parametrisation(name) for name in ("eps", "v", "x0", "flow"))
UPSTREAM_NAME = {EPS: "epsilon", V: "v_prediction", X0: "sample", FLOW: "flow_prediction"}
SCHEDULES = {
    Linear(): {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    ScaledLinear(): {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    Cosine(): {"beta_schedule": "squaredcos_cap_v2"},
}
# Step counts at which upstream visits whole times at equal distances; the tests at the end of this
# file show what it does elsewhere.
SPACINGS = {
    (Leading(), 7): {"timestep_spacing": "leading"},
    (Leading(offset=1), 10): {"timestep_spacing": "leading", "steps_offset": 1},
    (Trailing(), 10): {"timestep_spacing": "trailing"},
    (Linspace(), 10): {"timestep_spacing": "linspace"},
    (Karras(), 11): {"timestep_spacing": "linspace", "use_karras_sigmas": True},
}

every_schedule = pytest.mark.parametrize(
    "schedule", SCHEDULES, ids=lambda item: type(item).__name__
)
every_spacing = pytest.mark.parametrize(
    ("spacing", "steps"), SPACINGS, ids=[str(spacing) for spacing, _ in SPACINGS]
)


def parametrised(*choices):
    return pytest.mark.parametrize("parametrisation", choices, ids=lambda item: item.value)


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


def upstream(name, steps, **config):
    """A float64 scheduler with its timesteps set; `name` is the module's, `steps` what it is given."""
    module = float64.module(name)
    (kind,) = [
        value
        for key, value in vars(module).items()
        if key.endswith("Scheduler") and value.__module__ == module.__name__
    ]
    scheduler = kind(**config)
    scheduler.set_timesteps(
        **(steps if isinstance(steps, dict) else {"num_inference_steps": steps})
    )
    return scheduler


def theirs(scheduler, network, noise, grid=None, **step):
    """diffusers' sample from the same noise; a grid means that its states are x / alpha."""
    first, last = (1.0, 1.0) if grid is None else (grid.alpha[0], grid.alpha[-1])
    start = noise[0].reshape(SHAPE) / first
    return float64.sample(scheduler, network, start, **step).reshape(-1) * last


def assert_close(found, expected, tolerance=TOLERANCE):
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error <= tolerance, f"relative error {error:.2e}"


@every_schedule
@parametrised(EPS, V, X0)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("spacing", "steps", "config"),
    [
        (Trailing(), 10, {"timestep_spacing": "trailing"}),
        (Leading(), 7, {"timestep_spacing": "leading"}),
        (
            Leading(offset=1, final=Final.LAST),
            20,
            {"timestep_spacing": "leading", "steps_offset": 1, "set_alpha_to_one": False},
        ),
    ],
    ids=["trailing", "leading", "leading-last"],
)
def test_ddim(schedule, parametrisation, eta, spacing, steps, config):
    rng = np.random.default_rng(steps)
    network, noise = tanh_network(rng), draws(rng, steps)
    config = {"clip_sample": False, "prediction_type": UPSTREAM_NAME[parametrisation], **config}
    scheduler = upstream("ddim", steps, **SCHEDULES[schedule], **config)
    expected = theirs(
        scheduler,
        network,
        noise,
        eta=eta,
        variance_noise=[draw.reshape(SHAPE) for draw in noise[1:]],
    )
    found = ours(DDIM(eta), spacing.grid(schedule, steps), parametrisation, network, noise)
    assert_close(found, expected)


@every_schedule
@every_spacing
@parametrised(EPS, V, X0)
@pytest.mark.parametrize(
    ("solver", "name"), [(Euler(), "euler_discrete"), (Heun(), "heun_discrete")]
)
def test_euler_and_heun(schedule, spacing, steps, parametrisation, solver, name):
    rng = np.random.default_rng(steps)
    network, noise = tanh_network(rng), draws(rng, steps)
    config = {**SCHEDULES[schedule], **SPACINGS[spacing, steps]}
    scheduler = upstream(name, steps, prediction_type=UPSTREAM_NAME[parametrisation], **config)
    grid = spacing.grid(schedule, steps)
    expected = theirs(scheduler, network, noise, grid)
    found = ours(solver, grid, parametrisation, network, noise)
    table = table_of(solver, grid, parametrisation)
    # Heun out of sigma_ve = 2e4 (the cosine schedule's end) multiplies rounding by that level, in
    # either program; the table's own figure says so.
    assert_close(found, expected, max(TOLERANCE, 4 * 2.0**-53 * table.amplification))


def test_euler_that_ends_at_the_last_level():
    rng = np.random.default_rng(3)
    network, noise = tanh_network(rng), draws(rng, 10)
    config = {"timestep_spacing": "trailing", "final_sigmas_type": "sigma_min"}
    grid = Trailing(Final.LAST).grid(Linear(), 10)
    scheduler = upstream("euler_discrete", 10, **SCHEDULES[Linear()], **config)
    expected = theirs(scheduler, network, noise, grid)
    assert_close(ours(Euler(), grid, EPS, network, noise), expected)


@every_schedule
@pytest.mark.parametrize(
    ("spacing", "steps"), [key for key in SPACINGS if not isinstance(key[0], Karras)]
)
@parametrised(EPS, V)
def test_euler_ancestral(schedule, spacing, steps, parametrisation, monkeypatch):
    rng = np.random.default_rng(steps)
    network, noise = tanh_network(rng), draws(rng, steps)
    module = float64.module("euler_ancestral_discrete")
    monkeypatch.setattr(module, "randn_tensor", float64.Noises(noise[1:]))
    config = {**SCHEDULES[schedule], **SPACINGS[spacing, steps]}
    config["prediction_type"] = UPSTREAM_NAME[parametrisation]
    grid = spacing.grid(schedule, steps)
    expected = theirs(upstream("euler_ancestral_discrete", steps, **config), network, noise, grid)
    assert_close(ours(EulerAncestral(), grid, parametrisation, network, noise), expected)
    assert_close(ours(DDIM(eta=1.0), grid, parametrisation, network, noise), expected)


@every_schedule
@every_spacing
@parametrised(EPS, V, X0)
def test_dpmpp_2m(schedule, spacing, steps, parametrisation):
    """Given our times: upstream spaces leading and linspace otherwise and rounds those of Karras."""
    rng = np.random.default_rng(steps)
    network, noise = tanh_network(rng), draws(rng, steps)
    grid = spacing.grid(schedule, steps)
    config = {"prediction_type": UPSTREAM_NAME[parametrisation], **SCHEDULES[schedule]}
    if isinstance(spacing, Karras):
        scheduler = upstream("dpmsolver_multistep", steps, use_karras_sigmas=True, **config)
        scheduler.timesteps = torch.from_numpy(grid.model_time[:-1])
    else:
        times = {"timesteps": grid.model_time[:-1].astype(int).tolist()}
        scheduler = upstream("dpmsolver_multistep", times, **config)
    expected = theirs(scheduler, network, noise)
    assert_close(ours(DPMpp2M(), grid, parametrisation, network, noise), expected)


@pytest.mark.parametrize("steps", [1, 2, 10, 14, 15, 20])
@pytest.mark.parametrize(("final", "name"), [(Final.ZERO, "zero"), (Final.LAST, "sigma_min")])
def test_order_of_the_last_dpmpp_2m_step(steps, final, name):
    rng = np.random.default_rng(steps)
    network, noise = tanh_network(rng), draws(rng, steps)
    config = {"timestep_spacing": "trailing", "final_sigmas_type": name, **SCHEDULES[Linear()]}
    expected = theirs(upstream("dpmsolver_multistep", steps, **config), network, noise)
    grid = Trailing(final).grid(Linear(), steps)
    assert_close(ours(DPMpp2M(), grid, EPS, network, noise), expected)
    other = ours(DPMpp2M(lower_order_below=0), grid, EPS, network, noise)
    is_lowered = final is Final.LAST and 1 < steps < 15
    assert (np.abs(other - expected).max() > 1e-6) == is_lowered


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


@every_schedule
@pytest.mark.parametrize(
    ("solver", "name"),
    [(Euler(), "euler_discrete"), (Heun(), "heun_discrete"), (DPMpp2M(), "dpmsolver_multistep")],
)
def test_an_exact_denoiser_gives_the_same_sample(schedule, solver, name):
    rng = np.random.default_rng(12)
    noise = draws(rng, 20)
    data = Mixture(
        np.array([0.3, 0.7]), rng.standard_normal((2, LAYOUT.elements)), np.array([0.2, 0.1])
    )

    def lookup(time):
        alpha, sigma = schedule.at(np.array([time]))
        return float(alpha[0]), float(sigma[0])

    exact = raw_network([data], V, lookup)
    config = {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    scheduler = upstream(name, 20, **config, **SCHEDULES[schedule])
    grid = Trailing().grid(schedule, 20)
    is_ve = not isinstance(solver, DPMpp2M)

    def network(latent, time):
        return exact(latent.reshape(-1), time, 0).reshape(latent.shape)

    expected = theirs(scheduler, network, noise, grid if is_ve else None)
    tolerance = max(TOLERANCE, 4 * 2.0**-53 * table_of(solver, grid, V).amplification)
    assert_close(ours(solver, grid, V, network, noise), expected, tolerance)


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

    Its Euler goes to the next time of the list. Our two solvers are one update and equal the latter.
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
