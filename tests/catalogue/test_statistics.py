"""Solvers that are told about their network: DPM-Solver-v3's arrays."""

import numpy as np
import pytest

from denoisert.runtime import DDIM, RES, DPMpp2M, DPMpp3M, DPMSolverV3, Ending
from denoisert.runtime.sampling.oracle import Gaussian, Mixture, between_levels, follow
from denoisert.runtime.sampling.schedules import Linear
from denoisert.runtime.sampling.solvers import Form
from denoisert.runtime.sampling.solvers.model_statistics import Statistics
from denoisert.runtime.sampling.solvers.statistics_estimate import estimate_statistics
from tests.catalogue.runs import EPS, samples, table_of

WIDTH = 6
DATA = Gaussian(np.linspace(-1.1, 1.6, WIDTH), np.linspace(0.05, 1.2, WIDTH))
MIXTURE = Mixture(
    np.array([0.4, 0.6]),
    np.array([[-1.0, 0.3, 0.2, 0.0, 0.5, 1.0], [0.8, 0.1, -0.4, 0.6, 0.0, -1.0]]),
    np.array([0.1, 0.3]),
)
GRIDS = between_levels(Linear(), 20.0, 0.05)
NOISE = np.random.default_rng(0).standard_normal(WIDTH)


def levels(grid, count):
    """half_logsnr over a whole grid."""
    return np.linspace(grid[0].half_logsnr, grid[grid.steps].half_logsnr, count)


def gaussian_statistics(knots):
    """With k = sigma / alpha: l = k^2 / (v + k^2), and f = -l mean, so s = 0 and b = -mean dl."""
    k, v = np.exp(-knots)[:, None], np.asarray(DATA.variance)
    linear = k**2 / (v + k**2)
    slope = -2 * k**2 * v / (v + k**2) ** 2
    return Statistics(knots, linear, 0.0 * linear, -np.asarray(DATA.mean) * slope)


@pytest.mark.paper(111)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_with_the_statistics_of_gaussian_data_five_steps_are_exact(order):
    """diag(dE/dx) is known, so nothing is left to integrate; ++ of the same order is far off."""
    solver, grid = DPMSolverV3(order), GRIDS(5)
    truth = follow(DATA, grid.noise_gain * NOISE, grid[0], grid[5])
    told = solver.externals(grid, gaussian_statistics(levels(grid, 400)))
    error = np.abs(samples(solver, grid, DATA, [NOISE], EPS, **told) - truth).max()
    plain = solver.externals(grid, Statistics.of_clean_estimate(levels(grid, 400), WIDTH))
    other = np.abs(samples(solver, grid, DATA, [NOISE], EPS, **plain) - truth).max()
    assert error < 1e-5 < 0.01 < other
    wrong = gaussian_statistics(levels(grid, 400))
    wrong = Statistics(wrong.half_logsnr, wrong.linear, wrong.scale, -wrong.bias)
    told = solver.externals(grid, wrong)
    assert np.abs(samples(solver, grid, DATA, [NOISE], EPS, **told) - truth).max() > 0.01
    assert table_of(solver, grid, EPS).nfe == 5


@pytest.mark.paper(111)
@pytest.mark.parametrize(
    ("order", "others"),
    [
        (1, [DDIM()]),
        (2, [DPMpp2M(lower_order_below=0, form=Form.HEUN), RES(2)]),
        (3, [RES(3)]),
    ],
)
def test_without_statistics_it_is_dpm_solver_plus_plus(order, others):
    """l = 1, s = b = 0: the update of ++ where its weights are integrals.

    The published 2M's are the midpoint's, and those of 3M take half of the second difference.
    """
    grid, solver = GRIDS(8), DPMSolverV3(order, ending=Ending.FULL)
    plain = Statistics.of_clean_estimate(levels(grid, 4001), WIDTH)
    told = solver.externals(grid, plain)
    found = samples(solver, grid, MIXTURE, [NOISE], EPS, **told)
    for other in others:
        expected = samples(other, grid, MIXTURE, [NOISE], EPS)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    for published in (DPMpp2M(lower_order_below=0), DPMpp3M(lower_order_below=0)):
        expected = samples(published, grid, MIXTURE, [NOISE], EPS)
        assert np.abs(found - expected).max() > 1e-3


@pytest.mark.paper(111)
def test_the_estimator_finds_the_analytic_statistics():
    """From 400 samples and finite differences alone; b reads the slope of l between knots."""
    knots = levels(GRIDS(5), 80)
    rng = np.random.default_rng(1)
    clean = DATA.mean + np.sqrt(DATA.variance) * rng.standard_normal((400, WIDTH))

    def noise_estimate(x, point):
        return DATA.estimates(x, point.alpha, point.sigma)[1]

    found = estimate_statistics(noise_estimate, Linear(), knots, clean)
    exact = gaussian_statistics(knots)
    np.testing.assert_allclose(found.linear, exact.linear, atol=1e-9)
    np.testing.assert_allclose(found.scale, 0.0, atol=1e-9)
    inner = slice(1, -1)  # at both ends the differences are one-sided
    np.testing.assert_allclose(found.bias[inner], exact.bias[inner], atol=0.01)
