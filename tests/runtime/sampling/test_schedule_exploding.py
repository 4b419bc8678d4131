"""Schedules with alpha = 1: VE and EDM."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.oracle import Gaussian, execute, network
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import (
    EDM,
    VE,
    Exponential,
    Karras,
    Label,
    Trailing,
)
from denoisert.runtime.sampling.solvers import DDIM
from tests.oracles import float64
from tests.oracles.pair import LAYOUT, table_of

RNG = np.random.default_rng(5)


@contextmanager
def double_torch():
    """Some upstream linspaces name no type and take torch's default one, float32."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def ratio(schedule, times):
    alpha, sigma = schedule.at(np.asarray(times, dtype=float))
    return sigma / alpha


@pytest.mark.parametrize(
    ("label", "told"),
    [
        (Label.SIGMA, lambda s: s),
        (Label.LOG, math.log),
        (Label.QUARTER_LOG, lambda s: math.log(s) / 4),
        (Label.TIME, lambda s: math.log(s / 0.02) / math.log(40.0 / 0.02)),
    ],
)
def test_exploding_levels_are_geometric_and_told_by_their_label(label, told):
    schedule = VE(0.02, 40.0, label)
    t = np.linspace(0, 1, 7)
    times = schedule.spaced(t)
    alpha, sigma = schedule.at(times)
    np.testing.assert_allclose(sigma, 0.02 * (40.0 / 0.02) ** t, rtol=1e-13)
    np.testing.assert_array_equal(alpha, 1.0)
    np.testing.assert_allclose(times, [told(level) for level in sigma], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(schedule.model_time(sigma), times, rtol=1e-13, atol=1e-15)
    assert (schedule.first, schedule.last) == pytest.approx((told(40.0), told(0.02)), abs=1e-15)
    grid = Trailing().grid(schedule, 5)
    assert grid.noise_gain == pytest.approx(40.0)
    np.testing.assert_allclose(grid.model_time[:-1], [told(s) for s in grid.sigma[:-1]], atol=1e-14)
    assert Karras(sigma_max=3.0).grid(schedule, 5).noise_gain == pytest.approx(3.0)
    np.testing.assert_allclose(grid.at_level(1.5).model_time, told(1.5), rtol=1e-13)


def test_exploding_levels_are_those_of_diffusers_score_sde():
    with double_torch():
        upstream = float64.module("sde_ve").ScoreSdeVeScheduler(
            num_train_timesteps=20, sigma_min=0.01, sigma_max=50.0
        )
        upstream.set_sigmas(20, 0.01, 50.0, 1e-5)
    _, sigma = VE(label=Label.TIME).at(upstream.timesteps.numpy())
    np.testing.assert_allclose(sigma, upstream.sigmas.numpy(), rtol=1e-12)


@pytest.mark.parametrize(  # one step upstream would start from sigma_min under "exponential"
    ("name", "steps"), [("karras", 1), ("karras", 18), ("exponential", 2), ("exponential", 18)]
)
def test_edm_levels_and_labels_are_those_of_diffusers(name, steps):
    with double_torch():
        upstream = float64.module("edm_euler").EDMEulerScheduler(sigma_schedule=name)
        upstream.set_timesteps(steps)
    spacing = {"karras": Karras(), "exponential": Exponential()}[name]
    grid = spacing.grid(EDM(), steps)
    np.testing.assert_allclose(grid.sigma, upstream.sigmas.numpy(), rtol=1e-12)
    np.testing.assert_allclose(grid.model_time[:-1], upstream.timesteps.numpy(), rtol=1e-12)
    assert grid.noise_gain == pytest.approx(80.0)
    np.testing.assert_array_equal(grid.alpha, 1.0)


def test_a_raw_preconditioned_network_is_minus_v_on_a_preserving_path():
    data = 0.5
    for sigma in (0.01, 0.3, 2.0, 70.0):
        clean, noise = RNG.standard_normal((2, 6))
        x, root = data * clean + sigma * noise, math.hypot(sigma, data)
        raw = (data * clean - data**2 / root**2 * x) / (sigma * data / root)  # (D - c_skip x)/c_out
        alpha, level = data / root, sigma / root
        np.testing.assert_allclose(x / root, alpha * clean + level * noise, rtol=1e-12)
        np.testing.assert_allclose(raw, -(alpha * noise - level * clean), rtol=1e-9, atol=1e-12)


def test_a_run_on_an_exploding_schedule_reaches_gaussian_data():
    schedule = EDM()
    data = Gaussian(0.3, 0.25)
    grid = Exponential(final=Karras().final).grid(schedule, 400)
    table = table_of(DDIM(), grid, Parametrisation.X0)
    raw = network([data], Parametrisation.X0, lambda time: (1.0, math.exp(4 * time)))
    noise = [RNG.standard_normal(LAYOUT.elements) for _ in range(401)]
    run = execute(table, LAYOUT, raw, noise)
    # The exact flow maps x to mean + (x - mean) sqrt(v / (v + sigma^2)).
    exact = 0.3 + (80.0 * noise[0] - 0.3) * math.sqrt(0.25 / (0.25 + 80.0**2))
    np.testing.assert_allclose(run.latent, exact, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize(
    ("build", "advice"),
    [
        (lambda: VE(0.0, 1.0), "above 0 and rising"),
        (lambda: EDM(2.0, 1.0), "rising"),
        (lambda: EDM(sigma_max=math.inf), "finite"),
        (lambda: EDM().at(np.array([2.0])), "beyond the trained range"),
        (lambda: VE().coordinates(np.array([np.inf])), "no pure noise"),
    ],
)
def test_refusals_say_what_to_do(build, advice):
    with pytest.raises(InvalidInput, match=advice):
        build()
