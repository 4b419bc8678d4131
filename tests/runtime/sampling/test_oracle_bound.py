"""The variational bound against KL divergences by hand, the model's own likelihood, its limit."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import (
    Gaussian,
    Mixture,
    between_levels,
    propagate,
    variational_bound,
)
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Linear
from denoisert.runtime.sampling.solvers import DDIM
from tests.runtime.sampling.programs import angles

DATA = Gaussian(0.7, 0.25)
LINE = Mixture(np.array([0.4, 0.6]), np.array([[-1.0], [0.8]]), np.array([0.1, 0.3]))
CLEAN = np.linspace(-1.0, 2.0, 7)
NODES = np.array([[1.0], [-1.0]])
X0 = Parametrisation.X0


def gauss_hermite(count=80):
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes[:, None], weights / weights.sum()


def gaussian_kl(mean, variance, other_mean, other_variance):
    ratio = variance / other_variance
    return 0.5 * (ratio - 1 - np.log(ratio) + (mean - other_mean) ** 2 / other_variance)


def posterior(t, s, latent, clean):
    """Mean and variance of x_s given x_t and x0, from the joint Gaussian of (x_s, x_t)."""
    ratio = t.alpha / s.alpha
    between = t.sigma**2 - ratio**2 * s.sigma**2
    variance = s.sigma**2 * between / t.sigma**2
    mean = (ratio * s.sigma**2 * latent + s.alpha * between * clean) / t.sigma**2
    return mean, variance


def test_steps_are_kl_divergences_of_posteriors():
    grid = angles(6, first=1.5, last=0.1)
    nodes, weights = gauss_hermite()
    found = variational_bound(grid, LINE, CLEAN, nodes, weights)
    for step in range(grid.steps):
        t, s = grid[step], grid[step + 1]
        expected = np.zeros(len(CLEAN))
        for node, weight in zip(nodes[:, 0], weights, strict=True):
            latent = t.alpha * CLEAN + t.sigma * node
            mean, variance = posterior(t, s, latent, CLEAN)
            model, _ = posterior(t, s, latent, LINE.estimates(latent, t.alpha, t.sigma)[0])
            expected += weight * gaussian_kl(mean, variance, model, variance)
        np.testing.assert_allclose(found.steps[step], expected, rtol=1e-9, atol=1e-13)


def test_the_prior_is_a_kl_divergence_and_the_end_an_expected_density():
    grid = angles(3, first=1.2, last=0.2)
    found = variational_bound(grid, DATA, CLEAN, NODES)
    first, last = grid[0], grid[3]
    expected = gaussian_kl(first.alpha * CLEAN, first.sigma**2, 0.0, grid.noise_gain**2)
    np.testing.assert_allclose(found.prior, expected, rtol=1e-12)
    x0 = np.linspace(-8, 8, 40_001)
    spread = (last.sigma / last.alpha) ** 2
    density = np.exp(-(x0**2) / (2 * spread)) / np.sqrt(2 * np.pi * spread)
    entropy = -np.trapezoid(density * np.log(density + 1e-300), x0)
    np.testing.assert_allclose(found.reconstruction, entropy, rtol=1e-6)


def test_two_nodes_are_exact_on_gaussian_data():
    grid = angles(5, first=1.5, last=0.1)
    few = variational_bound(grid, DATA, CLEAN, NODES)
    many = variational_bound(grid, DATA, CLEAN, *gauss_hermite(20))
    np.testing.assert_allclose(few.total, many.total, rtol=1e-12)
    draws = np.random.default_rng(1).standard_normal((4000, 7))
    sampled = variational_bound(grid, DATA, CLEAN, draws)
    np.testing.assert_allclose(sampled.total, few.total, rtol=0.06)


@pytest.mark.parametrize("steps", [1, 3, 10, 50])
def test_it_bounds_what_the_table_of_the_sampler_samples(steps):
    """-log p of DDIM(eta=1) with its decoder, exactly from the moments of its table."""
    grid = between_levels(Linear(), 20.0, 0.1)(steps)
    table = fold(DDIM(1.0).rows(grid), X0, Unguided())
    moments = propagate(table, [DATA], X0)
    end = grid[grid.steps]
    model = Gaussian(
        moments.mean[0] / end.alpha, moments.covariance[0, 0] / end.alpha**2 + end.sigma_ve**2
    )
    bound = variational_bound(grid, DATA, CLEAN, NODES).total
    assert np.all(bound >= -model.log_density(CLEAN, 1.0, 0.0) - 1e-12)


def test_every_term_but_the_last_is_a_divergence():
    for data in (DATA, LINE):
        found = variational_bound(angles(5, first=1.5, last=0.1), data, CLEAN, *gauss_hermite())
        assert found.prior.min() >= 0
        assert found.steps.min() >= 0


def mean_gap(data, grid, nodes=40):
    """E over the data of the bound + log p, by quadrature: at least 0 by Gibbs' inequality."""
    x0 = np.linspace(-6, 6, 601)
    log_density = data.log_density(x0, 1.0, 0.0)
    gap = variational_bound(grid, data, x0, *gauss_hermite(nodes)).total + log_density
    return np.trapezoid(np.exp(log_density) * gap, x0)


@pytest.mark.parametrize("data", [DATA, LINE], ids=["gaussian", "mixture"])
def test_the_gap_falls_as_one_over_the_steps(data):
    gaps = [mean_gap(data, between_levels(Linear(), 60.0, 0.01)(n)) for n in (40, 80, 160)]
    assert min(gaps) > 0
    np.testing.assert_allclose(np.log2(np.divide(gaps[:-1], gaps[1:])), 1.0, atol=0.2)


def test_it_is_tight_with_a_thousand_steps():
    grid = between_levels(Linear(), 60.0, 0.01)(1000)
    gap = variational_bound(grid, DATA, CLEAN, NODES).total + DATA.log_density(CLEAN, 1.0, 0.0)
    assert 0 < mean_gap(DATA, grid, 2) < 0.035
    assert np.abs(gap[np.abs(CLEAN - 0.7) < 0.6]).max() < 0.1


def test_a_grid_without_noise_at_its_end_has_no_bound():
    for grid in (angles(4, first=1.4), angles(4, first=1.4, last=0.1).tail(1.0)):
        with pytest.raises(InvalidInput, match="keeps some at its last point"):
            variational_bound(grid, DATA, CLEAN, NODES)
