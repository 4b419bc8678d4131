"""Gaussians with a full covariance, against linear algebra written out and many samples."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.oracle import (
    Correlated,
    Gaussian,
    propagate,
    propagate_points,
    solve,
)
from denoisert.runtime.sampling.parametrisation import Parametrisation
from tests.runtime.sampling.programs import angles, ddim, multistep

X0 = Parametrisation.X0
MEAN = np.array([0.5, -1.0, 2.0])
COVARIANCE = np.array([[1.0, 0.6, -0.2], [0.6, 0.8, 0.1], [-0.2, 0.1, 0.5]])
DATA = Correlated(MEAN, COVARIANCE)
POINTS = [(1.0, 0.5), (0.6, 0.8), (0.0, 1.0)]


def total(alpha, sigma):
    return alpha**2 * COVARIANCE + sigma**2 * np.eye(3)


@pytest.mark.parametrize(("alpha", "sigma"), POINTS)
def test_estimates_are_those_of_conditioning(alpha, sigma):
    latent = np.random.default_rng(1).standard_normal(12)
    denoised, noise = DATA.estimates(latent, alpha, sigma)
    for index, point in enumerate(latent.reshape(-1, 3)):
        pull = np.linalg.solve(total(alpha, sigma), point - alpha * MEAN)
        here = slice(3 * index, 3 * index + 3)
        np.testing.assert_allclose(denoised[here], MEAN + alpha * COVARIANCE @ pull, atol=1e-13)
        np.testing.assert_allclose(noise[here], sigma * pull, atol=1e-13)
        np.testing.assert_allclose(DATA.score(latent, alpha, sigma)[here], -pull, atol=1e-13)


@pytest.mark.parametrize(("alpha", "sigma"), POINTS)
def test_the_density_is_that_of_the_textbook(alpha, sigma):
    latent = np.random.default_rng(2).standard_normal(12)
    spread = total(alpha, sigma)
    offsets = latent.reshape(-1, 3) - alpha * MEAN
    squares = [offset @ np.linalg.solve(spread, offset) for offset in offsets]
    logarithm = np.log(np.linalg.det(2 * np.pi * spread))
    found = DATA.log_density(latent, alpha, sigma)
    np.testing.assert_allclose(found, -0.5 * (np.array(squares) + logarithm), rtol=1e-12)


def test_samples_have_its_moments():
    count = 50_000
    drawn = DATA.sample(np.random.default_rng(3), count, 0.8, 0.6).reshape(-1, 3)
    np.testing.assert_allclose(drawn.mean(axis=0), 0.8 * MEAN, atol=5 / np.sqrt(count))
    np.testing.assert_allclose(np.cov(drawn.T), total(0.8, 0.6), atol=0.03)


def test_without_correlation_it_is_the_gaussian_of_its_elements():
    diagonal = np.array([0.3, 1.2, 0.0])
    plain, latent = Correlated(MEAN, np.diag(diagonal)), np.random.default_rng(4).random(3)
    expected = Gaussian(MEAN, diagonal).estimates(latent, 0.7, 0.4)
    for found, wanted in zip(plain.estimates(latent, 0.7, 0.4), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-14)


@pytest.mark.parametrize("guidance", [Unguided(), CFG(1.0)], ids=str)
@pytest.mark.parametrize("rows", [lambda grid: ddim(grid, 0.8), multistep], ids=["ddim", "K = 4"])
def test_moments_of_points_equal_those_of_many_samples(rows, guidance):
    table = fold(rows(angles(6, first=1.3)), X0, guidance)
    found = propagate_points(table, DATA, X0)
    count = 30_000
    noise = np.random.default_rng(5).standard_normal((int(table.draws.sum()), 3 * count))
    samples = solve(table, [DATA, DATA], X0, list(noise)).latent.reshape(-1, 3)
    assert found.mean.shape == (table.form.registers, 3)
    np.testing.assert_allclose(samples.mean(axis=0), found.mean[0], atol=5 / np.sqrt(count))
    np.testing.assert_allclose(np.cov(samples.T), found.covariance[0, 0], atol=0.04)


def test_one_element_is_an_ordinary_gaussian():
    table = fold(ddim(angles(5), 1.0), X0, Unguided())
    found = propagate_points(table, Correlated(np.array([0.7]), np.array([[0.25]])), X0)
    expected = propagate(table, [Gaussian(0.7, 0.25)], X0)
    np.testing.assert_allclose(found.mean[0, 0], expected.mean[0], rtol=1e-13)
    np.testing.assert_allclose(found.covariance[0, 0, 0, 0], expected.covariance[0, 0], rtol=1e-13)


@pytest.mark.parametrize(
    ("mean", "covariance"),
    [
        (0.0, [[1.0]]),
        ([0.0, 0.0], [[1.0]]),
        ([0.0, 0.0], [[1.0, 0.5], [0.4, 1.0]]),
        ([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]),
    ],
)
def test_what_is_no_covariance_is_refused(mean, covariance):
    with pytest.raises(InvalidInput, match="covariance"):
        Correlated(np.array(mean), np.array(covariance))


def test_points_are_whole():
    with pytest.raises(InvalidInput, match="no whole number"):
        DATA.estimates(np.zeros(4), 1.0, 1.0)
