"""Each solver against its declared order, where the truth is known."""

from itertools import pairwise

import numpy as np
import pytest

from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.oracle import Gaussian
from denoisert.runtime.sampling.schedules import (
    Flow,
    Karras,
    Linear,
    Trailing,
)
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DPMpp2M,
    EulerAncestral,
)
from tests.runtime.sampling.trials import (
    DATA,
    DETERMINISTIC,
    FLOWS,
    LAYOUT,
    by_index,
    on,
    run,
)


def velocity(x, t):
    denoised, noise = DATA.estimates(x, 1.0 - t, t)
    return noise - denoised


def slope(x, level):
    """dx_ve / dlog(sigma_ve)."""
    return level * DATA.estimates(x, 1.0, level)[1]


def runge_kutta(function, x, times):
    """Fourth order from times[0] to times[-1]: the truth for slopes."""
    for now, after in pairwise(times):
        h = after - now
        a = function(x, now)
        b = function(x + h / 2 * a, now + h / 2)
        c = function(x + h / 2 * b, now + h / 2)
        d = function(x + h * c, after)
        x = x + h / 6 * (a + 2 * b + 2 * c + d)
    return x


def orders(errors):
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


def rms(difference):
    return float(np.sqrt(np.mean(difference**2)))


@pytest.mark.parametrize("solver", [*DETERMINISTIC, *FLOWS], ids=str)
def test_order_on_a_flow_from_pure_noise_to_data(solver):
    """DPM-Solver++ is of order 2 in log SNR, which such a grid never refines at its data end.

    There step i from the end errs by 1 / (i N^2): the sum is log(N) / N^2, measured up to N = 768.
    """
    noise = np.random.default_rng(7).standard_normal(LAYOUT.elements)
    truth = runge_kutta(velocity, noise, np.linspace(1.0, 0.0, 2001))
    errors = []
    for steps in (48, 96, 192):
        found = run(solver, Trailing().grid(Flow(), steps), on(Flow()), [noise]).latent
        logarithm = np.log(steps) if isinstance(solver, DPMpp2M) else 1.0
        errors.append(rms(found - truth) / logarithm)
    np.testing.assert_allclose(orders(errors), solver.order, atol=0.25)


@pytest.mark.parametrize("solver", [*DETERMINISTIC, *FLOWS], ids=str)
def test_order_at_the_noise_end_of_a_flow(solver):
    """From t = 1, alpha = 0, to t = 0.05: the special first steps cost no order."""
    noise = np.random.default_rng(6).standard_normal(LAYOUT.elements)
    truth = runge_kutta(velocity, noise, np.linspace(1.0, 0.05, 2001))
    errors = []
    for steps in (48, 96, 192):
        t = np.linspace(1.0, 0.05, steps + 1)
        grid, lookup = by_index(Grid(1.0 - t, t, t, 1.0))
        errors.append(rms(run(solver, grid, lookup, [noise]).latent - truth))
    np.testing.assert_allclose(orders(errors), solver.order, atol=0.25)


@pytest.mark.parametrize("solver", DETERMINISTIC, ids=str)
def test_order_between_two_levels_of_a_variance_preserving_path(solver):
    """log(sigma_ve) even from 10 to 0.1: no special first or last step."""
    noise = np.random.default_rng(8).standard_normal(LAYOUT.elements)
    path = Linear()
    ends = np.log([10.0, 0.1])
    alpha, sigma = path.coordinates(np.exp(ends))
    ve = runge_kutta(
        lambda x, log: slope(x, np.exp(log)), noise / alpha[0], np.linspace(*ends, 2001)
    )
    errors = []
    for steps in (48, 96, 192):
        alpha, sigma = path.coordinates(np.exp(np.linspace(*ends, steps + 1)))
        grid, lookup = by_index(Grid(alpha, sigma, alpha, 1.0))
        errors.append(rms(run(solver, grid, lookup, [noise]).latent - alpha[-1] * ve))
    np.testing.assert_allclose(orders(errors), solver.order, atol=0.25)


@pytest.mark.parametrize("schedule", [Linear(), Flow()], ids=str)
@pytest.mark.parametrize("solver", [DDIM(0.5), DDIM(1.0), EulerAncestral()], ids=str)
def test_ancestral_noise_keeps_the_variance_to_first_order(solver, schedule):
    """Gaussian data make the sampler linear: one element a draw shows every gain exactly."""
    data, variance, errors = Gaussian(0.0, 0.25), 0.25, []
    for steps in (48, 96, 192):
        grid, lookup = by_index(Karras(7.0, 0.02, 60.0).grid(schedule, steps))
        gains = run(solver, grid, lookup, list(np.eye(steps)), data=data).latent
        errors.append(abs(np.sum(gains**2) - variance))
    assert errors[-1] < 0.02
    np.testing.assert_allclose(orders(errors), 1.0, atol=0.25)
