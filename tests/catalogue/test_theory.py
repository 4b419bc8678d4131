"""Papers that have nothing to run: what they say of samplers, seen on exact data."""

from itertools import pairwise

import numpy as np
import pytest

from denoisert.runtime import CFG, DDIM, DPMpp2M, Euler, FlowEuler, Heun
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.oracle import (
    Correlated,
    Gaussian,
    Mixture,
    between_levels,
    compose,
    mmd,
    strong_errors,
)
from denoisert.runtime.sampling.schedules import EDM, VE, Flow, Linear
from tests.catalogue.runs import EPS, FLOW, SCORE, X0, V, answered, halvings, samples, table_of
from tests.runtime.sampling import test_oracle_bound as bounds
from tests.runtime.sampling import test_oracle_reflected as walls
from tests.runtime.sampling.programs import angles

MIXTURE = Mixture(
    np.array([0.5, 0.3, 0.2]),
    np.array([[1.0, 0.4], [-0.8, 0.9], [0.1, -1.1]]),
    np.array([0.15, 0.25, 0.2]),
)
NOISE = np.random.default_rng(0).standard_normal(64)
LEVELS = np.geomspace(20.0, 0.05, 9)


def on(path, levels=LEVELS):
    """The grid of these levels on a path, started from its own noise."""
    alpha, sigma = path.coordinates(levels)
    return Grid(alpha, sigma, path.model_time(levels), float(sigma[0]))


@pytest.mark.paper(18)
@pytest.mark.parametrize("solver", [DDIM(), Heun(), DPMpp2M()], ids=str)
def test_every_parametrisation_says_the_same(solver):
    grid = on(Linear())
    found = [samples(solver, grid, MIXTURE, [NOISE], kind) for kind in (EPS, X0, V, FLOW, SCORE)]
    for each in found[1:]:
        np.testing.assert_allclose(each, found[0], rtol=0, atol=1e-11)


@pytest.mark.paper(18)
@pytest.mark.parametrize("path", [Linear(), Flow(), VE(), EDM()], ids=str)
def test_every_path_is_the_same_trajectory(path):
    """x / alpha from 20 xi: DDIM on any path is Euler in sigma / alpha, written out."""
    x = LEVELS[0] * NOISE
    for high, low in pairwise(LEVELS):
        x = x + (low - high) * MIXTURE.estimates(x, 1.0, high)[1]
    grid = on(path)
    for solver in (DDIM(), Euler(), *([FlowEuler()] if isinstance(path, Flow) else [])):
        found = samples(solver, grid, MIXTURE, [NOISE]) / grid.alpha[-1]
        np.testing.assert_allclose(found, x, rtol=0, atol=1e-11)
    other = on(path, np.geomspace(20.0, 0.05, 10))
    assert np.abs(samples(DDIM(), other, MIXTURE, [NOISE]) / other.alpha[-1] - x).max() > 1e-3


@pytest.mark.paper(25)
@pytest.mark.parametrize("data", [bounds.DATA, bounds.LINE], ids=["gaussian", "mixture"])
def test_the_bound_lies_above_the_likelihood_and_closes_as_one_over_the_steps(data):
    gaps = [bounds.mean_gap(data, between_levels(Linear(), 60.0, 0.01)(n)) for n in (40, 80, 160)]
    assert gaps[2] > 0
    np.testing.assert_allclose(halvings(gaps), 1.0, atol=0.2)


@pytest.mark.paper(25)
def test_the_score_gives_the_clean_estimate():
    """Tweedie: D = (x + sigma^2 score) / alpha, the score differentiated from the density."""
    alpha, sigma, step = 0.6, 0.8, 1e-5
    x = np.random.default_rng(1).standard_normal(8)
    nudges = step * np.eye(8)
    density = [
        MIXTURE.log_density(x + e, alpha, sigma) - MIXTURE.log_density(x - e, alpha, sigma)
        for e in nudges
    ]
    score = np.sum(density, axis=1) / (2 * step)
    expected = (x + sigma**2 * score) / alpha
    np.testing.assert_allclose(MIXTURE.estimates(x, alpha, sigma)[0], expected, atol=1e-8)


@pytest.mark.paper(44)
@pytest.mark.parametrize("data", [MIXTURE, Gaussian(0.7, 0.25)], ids=["mixture", "gaussian"])
def test_ddim_errs_by_one_over_the_steps(data):
    found = strong_errors(
        DDIM(), between_levels(Linear(), 20.0, 0.05), data, NOISE, (32, 64, 128, 256)
    )
    np.testing.assert_allclose(found.slopes, 1.0, atol=0.1)
    finer = strong_errors(Heun(), between_levels(Linear(), 20.0, 0.05), data, NOISE, (128, 256))
    assert finer.slopes[0] > 1.7  # a second-order method would fail this test


@pytest.mark.paper(49)
def test_the_exact_conditional_score_reaches_the_closed_form_conditional_law():
    """x ~ N(m, S) given <theta, x> + n = y, n ~ N(0, v): a linear reward that is nearly met.

    Its mean is m + g (y - <theta, m>), its covariance S - g theta^T S, with
    g = S theta / (<theta, S theta> + v).
    """
    mean, theta, y = np.array([0.3, -0.2]), np.array([1.0, 2.0]), 2.0
    whole = np.array([[1.0, 0.6], [0.6, 0.8]])
    gain = whole @ theta / (theta @ whole @ theta + 0.25)
    wanted = mean + gain * (y - theta @ mean), whole - np.outer(gain, theta @ whole)
    told = Correlated(wanted[0], wanted[1])
    noise = np.random.default_rng(2).standard_normal(40_000)
    grid = between_levels(Linear(), 60.0, 0.002)(120)
    found = samples(DDIM(), grid, told, [noise], X0).reshape(-1, 2)
    np.testing.assert_allclose(found.mean(axis=0), wanted[0], atol=0.02)
    np.testing.assert_allclose(np.cov(found.T), wanted[1], atol=0.02)
    free = Correlated(mean, whole)
    over = samples(DDIM(), grid, [told, free], [noise], X0, guidance=CFG(3.0)).reshape(-1, 2)
    assert (over @ theta).mean() > (found @ theta).mean() + 0.02  # beyond 1 is another law
    assert np.linalg.det(np.cov(over.T)) < 0.8 * np.linalg.det(wanted[1])


@pytest.mark.paper(50)
@pytest.mark.parametrize("sigma", [0.1, 0.5])
def test_cosines_decay_as_the_eigenfunctions_of_the_box(sigma):
    walls.test_cosines_of_reflected_motion_decay_as_eigenfunctions(sigma)


@pytest.mark.paper(50)
def test_walls_that_hold_or_let_through_have_other_eigenfunctions():
    """Clipping to the box instead of folding into it leaves mass on the walls."""
    rng, sigma, y = np.random.default_rng(3), 0.5, 0.3
    x = np.full(40_000, y)
    for _ in range(25):
        x = np.clip(x + sigma / 5 * rng.standard_normal(x.size), 0.0, 1.0)
    expected = np.exp(-0.5 * (2 * np.pi * sigma) ** 2) * np.cos(2 * np.pi * y)
    assert abs(np.cos(2 * np.pi * x).mean() - expected) > 0.02


@pytest.mark.paper(85)
def test_a_field_along_the_level_sets_changes_pairs_and_no_marginal():
    """div(p_t r_t) = 0 for r = A x, A antisymmetric, on an isotropic Gaussian."""
    data, turn = Gaussian(0.0, 0.25), np.array([[0.0, -1.0], [1.0, 0.0]])
    stretch = np.array([[1.0, 0.0], [0.0, 0.0]])
    noise = np.random.default_rng(5).standard_normal(20_000)
    grid = between_levels(VE(), 20.0, 0.02)(400)

    def turned(matrix):
        """Adds a field to E, which DDIM on this path takes as dx / dsigma."""

        def answer(x, sigma, condition):
            field = (x.reshape(-1, 2) @ matrix.T).ravel() / (sigma + 0.5)
            return data.estimates(x, 1.0, sigma)[1] + field

        return answered(DDIM(), grid, answer, [noise], EPS).reshape(-1, 2)

    plain, other, wrong = turned(0.0 * turn), turned(turn), turned(stretch)
    np.testing.assert_allclose(np.cov(other.T), np.cov(plain.T), atol=0.02)
    assert np.abs(other - plain).max() > 1.0
    assert np.abs(np.cov(wrong.T) - np.cov(plain.T)).max() > 0.1


@pytest.mark.paper(99)
def test_one_steps_error_arrives_by_the_gains_of_the_rest():
    """A bias of step k comes out times the product of the later steps' slopes in x."""
    data, grid, bias = Gaussian(0.7, 0.25), angles(8, first=1.5, last=0.1), 0.05
    noise = [np.zeros(1)]

    def end(wrong):
        def answer(x, time, condition):
            alpha, sigma = np.cos(time / 100), np.sin(time / 100)
            return data.estimates(x, alpha, sigma)[0] + bias * (time == grid[wrong].model_time)

        return answered(DDIM(), grid, answer, noise, X0)[0]

    for wrong in range(8):
        now, after = grid[wrong], grid[wrong + 1]
        enters = (after.alpha - after.sigma * now.alpha / now.sigma) * bias
        rest = 1.0
        if wrong < 7:
            tail = Grid(grid.alpha[wrong + 1 :], grid.sigma[wrong + 1 :], np.zeros(8 - wrong), 1.0)
            rest = float(compose(table_of(DDIM(), tail, X0), [data], X0).gains[0, 0, 0])
        assert end(wrong) - end(8) == pytest.approx(enters * rest, rel=1e-9)


@pytest.mark.paper(99)
def test_an_exact_network_has_no_cumulative_error_and_a_wrong_one_shows_at_once():
    """Squared mean discrepancy of backward samples and forward-noised data at three points."""
    rng = np.random.default_rng(6)
    grid = between_levels(Linear(), 30.0, 0.05)(60)

    def discrepancy(data, stop):
        cut = Grid(grid.alpha[: stop + 1], grid.sigma[: stop + 1], np.zeros(stop + 1), 1.0)
        found = samples(DDIM(), cut, data, [rng.standard_normal(1200)]).reshape(-1, 2)
        end = cut[stop]
        truth = MIXTURE.sample(rng, 600, end.alpha, end.sigma).reshape(-1, 2)
        return mmd(found, truth)

    wrong = Mixture(MIXTURE.weights, MIXTURE.means + 0.4, MIXTURE.variances)
    exact = [discrepancy(MIXTURE, stop) for stop in (20, 40, 60)]
    assert max(map(abs, exact)) < 0.006
    grown = [discrepancy(wrong, stop) for stop in (20, 40, 60)]
    assert grown[0] < grown[1] < grown[2]
    assert grown[2] > 0.05
