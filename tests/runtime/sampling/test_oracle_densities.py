"""Samples, densities, scores and posteriors of exact data against quadrature and differences."""

import numpy as np
import pytest

from denoisert.runtime.sampling.oracle import Gaussian, Mixture

MIXTURE = Mixture(
    np.array([1.0, 3.0, 2.0]),
    np.array([[1.0, 0.4], [-0.8, 0.9], [0.1, -1.1]]),
    np.array([0.15, 0.25, 0.0]),
)
POINTS = [(1.0, 0.5), (0.6, 0.8), (0.0, 1.0)]


def square(reach=7.0, count=401):
    """Cell centres of a square and the area of a cell."""
    side = np.linspace(-reach, reach, count)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    return grid, (side[1] - side[0]) ** 2


def difference(function, latent, step=1e-5):
    """Derivative of the sum of a density's logarithms in every element."""
    nudges = step * np.eye(latent.size)
    return np.array([(function(latent + e) - function(latent - e)).sum() for e in nudges]) / (
        2 * step
    )


@pytest.mark.parametrize(("alpha", "sigma"), POINTS)
def test_a_density_integrates_to_one_with_the_moments_of_its_samples(alpha, sigma):
    grid, area = square()
    density = np.exp(MIXTURE.log_density(grid.ravel(), alpha, sigma))
    assert density.sum() * area == pytest.approx(1.0, abs=1e-9)
    count = 20_000
    drawn = MIXTURE.sample(np.random.default_rng(1), count, alpha, sigma).reshape(-1, 2)
    mean = area * density @ grid
    covariance = area * (grid - mean).T @ (density[:, None] * (grid - mean))
    bound = 5 * np.sqrt(np.diag(covariance) / count)
    assert np.all(np.abs(drawn.mean(axis=0) - mean) < bound)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.06)


@pytest.mark.parametrize(("alpha", "sigma"), POINTS)
@pytest.mark.parametrize("data", [MIXTURE, Gaussian(0.3, 0.4), Gaussian(np.arange(6.0), 0.2)])
def test_the_score_is_the_slope_of_the_density_and_minus_the_noise(data, alpha, sigma):
    latent = np.random.default_rng(2).standard_normal(6)
    score = data.score(latent, alpha, sigma)
    expected = difference(lambda x: data.log_density(x, alpha, sigma), latent)
    np.testing.assert_allclose(score, expected, rtol=1e-7, atol=1e-7)
    noise = data.estimates(latent, alpha, sigma)[1]
    np.testing.assert_allclose(score, -noise / sigma, rtol=1e-13, atol=1e-13)


def test_a_gaussian_is_the_mixture_of_one():
    rng = np.random.default_rng(3)
    latent, single = rng.standard_normal(5), Mixture(np.ones(1), np.array([[0.4]]), np.array([0.3]))
    for alpha, sigma in POINTS:
        np.testing.assert_allclose(
            Gaussian(0.4, 0.3).log_density(latent, alpha, sigma),
            single.log_density(latent, alpha, sigma),
            rtol=1e-13,
        )


def test_weights_are_divided_by_their_sum():
    doubled = Mixture(2 * MIXTURE.weights, MIXTURE.means, MIXTURE.variances)
    latent = np.random.default_rng(4).standard_normal(8)
    np.testing.assert_allclose(
        doubled.log_density(latent, 0.8, 0.6), MIXTURE.log_density(latent, 0.8, 0.6), rtol=1e-14
    )


def test_a_posterior_is_prior_times_likelihood():
    alpha, sigma = 0.7, 0.6
    smooth = Mixture(MIXTURE.weights, MIXTURE.means, MIXTURE.variances + 0.1)
    point = np.array([0.3, -0.5])
    grid, area = square(reach=5.0)
    joint = smooth.log_density(grid.ravel(), 1.0, 0.0) - (
        ((point - alpha * grid) ** 2).sum(axis=1) / (2 * sigma**2)
    )
    expected = np.exp(joint - joint.max())
    expected /= expected.sum() * area
    posterior = smooth.posterior(point, alpha, sigma)
    found = np.exp(posterior.log_density(grid.ravel(), 1.0, 0.0))
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)
    mean = posterior.weights @ posterior.means
    np.testing.assert_allclose(mean, smooth.estimates(point, alpha, sigma)[0], rtol=1e-12)


def test_a_posterior_far_from_a_component_keeps_all_of_them():
    far = Mixture(np.ones(2), np.array([[0.0], [100.0]]), np.zeros(2))
    posterior = far.posterior(np.array([0.0]), 1.0, 0.1)
    assert posterior.weights[1] > 0
    np.testing.assert_allclose(posterior.estimates(np.array([0.2]), 1.0, 0.1)[0], 0.0, atol=1e-12)


def test_finite_data_is_the_softmax_mean_of_its_points():
    rng = np.random.default_rng(5)
    points, shares, latent = rng.standard_normal((9, 3)), rng.uniform(0.5, 2, 9), rng.random(6)
    alpha, sigma = 0.6, 0.8
    data = Mixture.of_points(points, shares)
    for point, found in zip(
        latent.reshape(-1, 3), data.estimates(latent, alpha, sigma)[0].reshape(-1, 3), strict=True
    ):
        weight = shares * np.exp(-((point - alpha * points) ** 2).sum(axis=1) / (2 * sigma**2))
        np.testing.assert_allclose(found, weight @ points / weight.sum(), rtol=1e-12)
    assert set(Mixture.of_points(points).sample(rng, 50)) <= set(points.ravel())


def test_samples_of_a_gaussian_have_its_moments():
    count = 40_000
    drawn = Gaussian(0.7, 0.25).sample(np.random.default_rng(6), count, 0.8, 0.6)
    variance = 0.8**2 * 0.25 + 0.6**2
    assert abs(drawn.mean() - 0.8 * 0.7) < 5 * np.sqrt(variance / count)
    assert abs(drawn.var() - variance) < 5 * variance * np.sqrt(2 / count)
    by_element = Gaussian(np.array([5.0, -5.0]), 0.0).sample(np.random.default_rng(6), 2)
    np.testing.assert_array_equal(by_element, [5.0, -5.0])
