"""The optimiser of levels: closed-form optima, and its objective against the published one."""

import math

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.subject import OracleSubject
from denoisert.runtime.sampling.oracle import Gaussian, Mixture, sliced_wasserstein
from denoisert.runtime.sampling.schedules import EDM, Exponential, Final, Karras, Levels
from denoisert.runtime.sampling.schedules.optimise import (
    ErrorCurve,
    Objective,
    cost,
    measure,
    optimise,
)
from denoisert.runtime.sampling.solvers import DDIM

LOW, HIGH = 0.002, 80.0
SPREAD = 0.5  # c, the standard deviation of the data
LEVELS = np.geomspace(LOW, HIGH, 200)
GAUSSIAN = Gaussian(0.3, SPREAD**2)
MIXTURE = Mixture(
    np.array([0.3, 0.45, 0.25]),
    np.array([[-1.0, 0.2], [0.8, 0.9], [0.4, -1.1]]),
    np.array([0.01, 0.04, 0.02]),
)


def answers(denoiser):
    def denoise(x, level):
        return denoiser.estimates(x.reshape(-1), 1.0, level)[0].reshape(x.shape)

    return denoise


def exact_curve():
    square = LEVELS**2
    return ErrorCurve(LEVELS, SPREAD**2 * square / (SPREAD**2 + square), SPREAD**2)


def measured_curve():
    clean = 0.3 + SPREAD * np.random.default_rng(4).standard_normal((4096, 1))
    return measure(answers(GAUSSIAN), clean, LEVELS, seed=11)


def angles(levels):
    return np.arctan(np.asarray(levels) / SPREAD)


OPTIMAL_ANGLES = {
    # Theorem for first-order steps of the flow: t = c tan(angle), equal angles.
    Objective.VARIANCE: lambda a, n: np.linspace(a[0], a[-1], n + 1),
    # The bound of a step is (rho^2 - 1) / 2 - log rho with rho = sin(a_s) / sin(a_r), convex in
    # log rho, and the product of all rho is fixed: sin(angle) is geometric.
    Objective.KLUB: lambda a, n: np.arcsin(np.geomspace(np.sin(a[0]), np.sin(a[-1]), n + 1)),
}


@pytest.mark.parametrize("objective", Objective)
@pytest.mark.parametrize("steps", [1, 2, 7, 10, 20, 40])
@pytest.mark.parametrize("curve", [exact_curve, measured_curve])
def test_gaussian_levels_are_the_closed_form_optimum(objective, steps, curve):
    found = angles(optimise(curve(), steps, objective, Final.SPACED).levels)
    best = OPTIMAL_ANGLES[objective](found, steps)
    assert found[[0, -1]] == pytest.approx([math.atan(HIGH / SPREAD), math.atan(LOW / SPREAD)])
    assert np.abs(np.diff(found) / np.diff(best) - 1.0).max() < 0.02


def test_the_variance_lost_on_gaussian_data_is_the_product_of_cosines():
    levels = np.asarray(Karras().grid(EDM(), 12).sigma[:-1])
    steps = -np.diff(angles(levels))
    lost = cost(exact_curve(), levels, Objective.VARIANCE)
    assert math.exp(-lost) == pytest.approx(np.prod(np.cos(steps)), rel=1e-4)


def test_the_bound_on_gaussian_data_is_its_closed_form():
    levels = np.asarray(Exponential().grid(EDM(), 12).sigma[:-1])
    rho = np.sin(angles(levels[:-1])) / np.sin(angles(levels[1:]))
    expected = np.sum((rho**2 - 1) / 2 - np.log(rho))
    assert cost(exact_curve(), levels, Objective.KLUB) == pytest.approx(expected, rel=1e-3)


def published_bound(denoise, clean, high, low, rng):
    """int_low^high t^-3 E |D_t - D_high|^2 dt, by pairs, the level drawn as the weight t^-3."""
    total = []
    for _ in range(400):
        t = (high**-2.0 + rng.uniform() * (low**-2.0 - high**-2.0)) ** -0.5
        here = clean + t * rng.standard_normal(clean.shape)
        above = here + math.sqrt(high**2 - t**2) * rng.standard_normal(clean.shape)
        total.append(np.mean(np.square(denoise(here, t) - denoise(above, high))))
    return 0.5 * (low**-2.0 - high**-2.0) * float(np.mean(total))


@pytest.mark.parametrize(("high", "low"), [(3.0, 1.2), (0.6, 0.3), (0.25, 0.05)])
def test_the_bound_is_the_published_one_estimated_by_pairs(high, low):
    rng = np.random.default_rng(8)
    denoise = answers(MIXTURE)
    clean = np.asarray(MIXTURE.sample(rng, 4000)).reshape(-1, 2)
    curve = measure(denoise, clean, np.geomspace(0.02, 10.0, 120), seed=2)
    ours = cost(curve, np.array([high, low]), Objective.KLUB)
    theirs = published_bound(denoise, clean[:1000], high, low, rng)
    assert ours == pytest.approx(theirs, rel=0.06)


@pytest.mark.parametrize("objective", Objective)
def test_no_small_change_is_better(objective):
    curve = exact_curve()
    levels = np.asarray(optimise(curve, 10, objective, Final.SPACED).levels)
    least = cost(curve, levels, objective)
    rng = np.random.default_rng(0)
    for size in (0.3, 0.03, 0.003):
        for _ in range(100):
            moved = levels * np.exp(size * rng.standard_normal(11) * ([0] + [1] * 9 + [0]))
            if np.all(np.diff(moved) < 0):
                assert cost(curve, moved, objective) >= least * (1 - 1e-6)


@pytest.mark.parametrize("objective", Objective)
def test_on_a_mixture_it_costs_less_than_karras_and_exponential(objective):
    rng = np.random.default_rng(1)
    clean = np.asarray(MIXTURE.sample(rng, 2000)).reshape(-1, 2)
    curve = measure(answers(MIXTURE), clean, np.geomspace(0.01, 20.0, 100), seed=3)
    found = cost(curve, np.array(optimise(curve, 10, objective, Final.SPACED).levels), objective)
    for spacing in (Karras(), Exponential()):
        levels = spacing.grid(EDM(0.01, 20.0), 11).sigma[:-1]
        assert found < 0.99 * cost(curve, levels, objective)


@pytest.mark.parametrize("steps", [6, 10, 20])
def test_first_order_steps_err_less_on_a_mixture(steps):
    rng = np.random.default_rng(5)
    clean = np.asarray(MIXTURE.sample(rng, 4000)).reshape(-1, 2)
    curve = measure(answers(MIXTURE), clean, np.geomspace(0.02, 80.0, 120), seed=6)

    def tried(spacing):
        data = OracleSubject(MIXTURE, 2, EDM(), spacing, points=512, seed=0, fine=300)
        found, truth = data.samples(DDIM(), steps), data.truth(DDIM(), steps)
        rms = float(np.sqrt(np.mean(np.square(found - truth))))
        return np.array([rms, sliced_wasserstein(found, truth)])

    ours = tried(optimise(curve, steps))
    assert np.all(ours < 0.8 * tried(Karras(sigma_min=0.02)))
    assert np.all(ours < 0.8 * tried(Exponential(sigma_min=0.02)))


def test_levels_without_any_error_cost_nothing():
    """A few points as data: near them the denoiser errs by less than a float can hold."""
    points = Mixture(np.ones(3), np.array([[1.0], [-1.0], [0.2]]), np.zeros(3))
    clean = np.array([[1.0], [-1.0], [0.2]]).repeat(200, axis=0)
    curve = measure(answers(points), clean, np.geomspace(0.002, 20.0, 80), seed=3)
    assert curve.error[0] == 0.0
    for objective in Objective:
        levels = np.array(optimise(curve, 8, objective, Final.SPACED).levels)
        assert np.all(np.diff(levels) < 0)
        assert cost(curve, np.array([0.01, 0.002]), objective) == pytest.approx(0.0, abs=1e-12)
        karras = Karras(final=Final.SPACED).grid(EDM(0.002, 20.0), 8).sigma
        assert cost(curve, levels, objective) < cost(curve, karras, objective)


def test_the_result_runs_as_it_is():
    levels = optimise(exact_curve(), 6)
    assert isinstance(levels, Levels)
    assert levels.levels[-1] == 0.0
    grid = levels.grid(EDM(), 6)
    assert (grid.steps, grid.sigma[0], grid.sigma[-1]) == (6, HIGH, 0.0)
    kept = optimise(exact_curve(), 6, final=Final.SPACED)
    assert kept.levels[:-1] == levels.levels[:-1]
    assert kept.levels[-1] == LOW


def test_the_measured_curve_is_that_of_the_data():
    found, exact = measured_curve(), exact_curve()
    np.testing.assert_allclose(found.error, exact.error, rtol=0.05)
    assert found.variance == pytest.approx(SPREAD**2, rel=0.05)
    np.testing.assert_allclose(exact.at(LEVELS), exact.error, rtol=1e-12)
    dented = ErrorCurve(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.4, 0.6]), 1.0)
    np.testing.assert_allclose(dented.at(np.array([1.0, 2.0, 3.0])), [0.5, 0.5, 0.6])


@pytest.mark.parametrize(
    ("build", "advice"),
    [
        (lambda: optimise(exact_curve(), 0), "whole number"),
        (lambda: optimise(exact_curve(), 5, final=Final.LAST), r"Final\.ZERO or Final\.SPACED"),
        (lambda: ErrorCurve(np.array([1.0]), np.array([1.0]), 1.0), "at least two"),
        (lambda: ErrorCurve(np.array([2.0, 1.0]), np.ones(2), 1.0), "rising"),
        (lambda: ErrorCurve(np.array([1.0, np.inf]), np.ones(2), 1.0), "finite"),
        (lambda: ErrorCurve(np.array([1.0, 2.0]), np.array([-1.0, 1.0]), 1.0), "at least 0"),
        (lambda: ErrorCurve(np.array([1.0, 2.0]), np.array([1.0, np.nan]), 1.0), "finite"),
        (lambda: ErrorCurve(np.array([1.0, 2.0]), np.ones(3), 1.0), "each of 2 levels"),
        (lambda: ErrorCurve(np.array([1.0, 2.0]), np.ones(2), 0.0), "variance"),
        (lambda: measure(answers(GAUSSIAN), np.ones((1, 3)), LEVELS, 0), "samples, elements"),
    ],
)
def test_refusals_say_what_to_do(build, advice):
    with pytest.raises(InvalidInput, match=advice):
        build()
