"""Every solver against diffusers 0.42.1 in float64, on the same noise and network."""

import numpy as np
import pytest
import torch

from denoisert.runtime.sampling.oracle import Mixture
from denoisert.runtime.sampling.oracle import network as raw_network
from denoisert.runtime.sampling.schedules import (
    Final,
    Karras,
    Leading,
    Linear,
    Linspace,
    Trailing,
)
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DPMpp2M,
    Euler,
    EulerAncestral,
    Heun,
)
from tests.oracles import float64
from tests.oracles.pair import (
    EPS,
    LAYOUT,
    SCHEDULES,
    SHAPE,
    UPSTREAM_NAME,
    X0,
    V,
    assert_close,
    draws,
    ours,
    tanh_network,
    theirs,
    tolerance_of,
    upstream,
)

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
    assert_close(found, expected, tolerance_of(solver, grid))


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
def test_euler_ancestral(schedule, spacing, steps, parametrisation):
    rng = np.random.default_rng(steps)
    network, noise = tanh_network(rng), draws(rng, steps)
    config = {**SCHEDULES[schedule], **SPACINGS[spacing, steps]}
    config["prediction_type"] = UPSTREAM_NAME[parametrisation]
    grid = spacing.grid(schedule, steps)
    scheduler = upstream("euler_ancestral_discrete", steps, **config)
    expected = theirs(scheduler, network, noise, grid, generator=float64.Noises(noise[1:]))
    assert_close(ours(EulerAncestral(), grid, parametrisation, network, noise), expected)
    assert_close(ours(DDIM(eta=1.0), grid, parametrisation, network, noise), expected)


@every_schedule
@every_spacing
@parametrised(EPS, V, X0)
def test_dpmpp_2m(schedule, spacing, steps, parametrisation):
    """Given our times: upstream spaces others under these names, and truncates those of Karras."""
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
    assert_close(ours(solver, grid, V, network, noise), expected, tolerance_of(solver, grid))
