"""The probability flow against its closed form, and slopes of solvers whose order is known."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.grid import Point
from denoisert.runtime.sampling.oracle import (
    Convergence,
    Gaussian,
    Mixture,
    between_levels,
    between_times,
    follow,
    runge_kutta,
    strong_errors,
    weak_errors,
)
from denoisert.runtime.sampling.schedules import Flow, Linear
from denoisert.runtime.sampling.solvers import DDIM, DPMpp2M, EulerAncestral, FlowHeun
from tests.runtime.sampling.trials import DATA

NOISE = np.random.default_rng(1).standard_normal(12)


def point(alpha, sigma):
    return Point(alpha, sigma, 0.0)


def exact_flow(data, latent, first, last):
    """Gaussian data: the flow keeps (x - mean of x) / deviation of x."""
    (mean, variance), (mean_s, variance_s) = (data.moments(p.alpha, p.sigma) for p in (first, last))
    return mean_s + np.sqrt(variance_s / variance) * (latent - mean)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (point(0.1, 0.995), point(0.9, 0.3)),
        (point(1.0, 40.0), point(1.0, 0.02)),
        (point(0.0, 1.0), point(0.5, 0.5)),
        (point(0.0, 1.0), point(1.0, 0.0)),
        (point(0.3, 0.8), point(1.0, 0.0)),
        (point(1.0, 0.0), point(0.0, 1.0)),
        (point(0.9, 0.3), point(0.1, 0.995)),
        (point(0.0, 3.0), point(2.0, 1.0)),
    ],
)
def test_the_flow_of_a_gaussian_is_its_closed_form(first, last):
    data = Gaussian(np.linspace(-1, 1, 12), np.linspace(0.2, 2, 12))
    found = follow(data, NOISE, first, last)
    np.testing.assert_allclose(found, exact_flow(data, NOISE, first, last), rtol=0, atol=1e-8)


def test_a_flow_there_and_back_is_no_flow():
    first, last = point(0.05, 0.998), point(0.95, 0.2)
    there = follow(DATA, NOISE, first, last)
    np.testing.assert_allclose(follow(DATA, there, last, first), NOISE, rtol=0, atol=1e-9)


def test_both_charts_draw_the_same_curve():
    first, last = point(0.0, 1.0), point(0.9, 0.1)
    middle = point(0.2, 0.8)
    whole = follow(DATA, NOISE, first, last)
    halves = follow(DATA, follow(DATA, NOISE, first, middle), middle, last)
    np.testing.assert_allclose(whole, halves, rtol=0, atol=1e-9)


def test_the_flow_of_finite_data_ends_on_its_points():
    points = np.array([[1.0, 0.4], [-0.8, 0.9], [0.1, -1.1]])
    ends = follow(Mixture.of_points(points), NOISE, point(0.0, 1.0), point(1.0, 0.0))
    nearest = np.abs(ends.reshape(-1, 1, 2) - points).max(axis=2).min(axis=1)
    np.testing.assert_allclose(nearest, 0.0, atol=1e-12)


def test_the_method_has_order_four():
    times = [np.linspace(0.0, 2.0, n + 1) for n in (20, 40)]
    errors = [
        abs(runge_kutta(lambda x, t: x * np.cos(t), 1.0, t) - np.exp(np.sin(2))) for t in times
    ]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4.0, abs=0.1)


def test_slopes_are_those_of_a_power():
    steps = (10, 30, 60)
    found = Convergence(steps, tuple(5.0 / n**1.5 for n in steps)).slopes
    np.testing.assert_allclose(found, 1.5, rtol=1e-12)


def test_errors_are_against_the_closed_form_on_gaussian_data():
    data, grids = Gaussian(0.3, 0.5), between_levels(Linear(), 10.0, 0.1)
    found = strong_errors(DDIM(), grids, data, NOISE, (5,))
    grid = grids(5)
    x = grid.noise_gain * NOISE
    truth = exact_flow(data, x, grid[0], grid[5])
    for step in range(5):
        denoised, noise = data.estimates(x, grid[step].alpha, grid[step].sigma)
        x = grid[step + 1].alpha * denoised + grid[step + 1].sigma * noise
    assert found.errors[0] == pytest.approx(np.sqrt(np.mean((x - truth) ** 2)), rel=1e-7)


@pytest.mark.parametrize(
    ("solver", "grids", "order"),
    [
        (DDIM(), between_levels(Linear(), 10.0, 0.1), 1),
        (DPMpp2M(lower_order_below=0), between_levels(Flow(), 10.0, 0.1), 2),
        (FlowHeun(), between_times(Flow(), 1.0, 0.0), 2),
    ],
    ids=["ddim", "dpmpp_2m", "flow_heun"],
)
def test_slopes_show_the_order(solver, grids, order):
    found = strong_errors(solver, grids, DATA, NOISE, (32, 64, 128))
    np.testing.assert_allclose(found.slopes, order, atol=0.25)


def test_grids_have_the_ends_that_were_asked_for():
    grid = between_levels(Linear(), 10.0, 0.1)(8)
    assert (grid.steps, grid.noise_gain) == (8, grid.sigma[0])
    np.testing.assert_allclose(grid.sigma / grid.alpha, np.geomspace(10.0, 0.1, 9), rtol=1e-12)
    grid = between_times(Flow(), 1.0, 0.0)(4)
    np.testing.assert_allclose(grid.sigma, [1.0, 0.75, 0.5, 0.25, 0.0])
    np.testing.assert_allclose(grid.model_time, grid.sigma)
    assert grid.noise_gain == 1.0


def test_weak_errors_of_first_order_samplers_equal_a_loop_in_the_letters_of_the_paper():
    data, grids = Gaussian(0.7, 0.25), between_levels(Linear(), 10.0, 0.1)
    found = weak_errors(DDIM(1.0), grids, data, (8, 16))
    for steps, error in zip(found.steps, found.errors, strict=True):
        grid = grids(steps)
        mean, variance = data.moments(grid.alpha[0], grid.sigma[0])
        for step in range(steps):
            t, s = grid[step], grid[step + 1]
            total = t.alpha**2 * data.variance + t.sigma**2
            q = t.alpha * s.sigma / (s.alpha * t.sigma)
            slope = (s.alpha * t.alpha * data.variance + s.sigma * q * t.sigma) / total
            mean = s.alpha * data.mean + slope * (mean - t.alpha * data.mean)
            variance = slope**2 * variance + s.sigma**2 * (1 - q**2)
        truth = data.moments(grid.alpha[-1], grid.sigma[-1])
        expected = abs(mean - truth[0]) + abs(variance - truth[1])
        assert error == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("solver", "order"),
    [
        (DDIM(0.5), 1),
        (DDIM(1.0), 1),
        (EulerAncestral(), 1),
        (DPMpp2M(lower_order_below=0), 2),
    ],
    ids=str,
)
def test_weak_slopes_need_no_samples(solver, order):
    grids = between_levels(Linear(), 10.0, 0.1)
    found = weak_errors(solver, grids, Gaussian(0.7, 0.25), (64, 128, 256))
    np.testing.assert_allclose(found.slopes, order, atol=0.25)


def test_noise_has_no_strong_error():
    with pytest.raises(InvalidInput, match="weak_errors"):
        strong_errors(DDIM(1.0), between_levels(Linear(), 9.0, 0.1), DATA, NOISE, (4,))
