"""Diffusion in a box: both forms of the heat kernel, its score, and what samples say."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.oracle import Reflected, network, reflect
from denoisert.runtime.sampling.oracle.reflected import (
    MIDDLE,
    cosine_kernel,
    heat_kernel,
    image_kernel,
)
from denoisert.runtime.sampling.parametrisation import Parametrisation

ENDS_AND_INSIDE = np.array([0.0, 1e-3, 0.2, 0.5, 0.77, 1.0])
BOX = Reflected(np.array([1.0, 2.0, 1.0]), np.array([[0.1, 0.9], [0.4, 0.2], [1.0, 0.6]]))


def folded(x):
    """Mirror at one end after the other until inside."""
    while not 0.0 <= x <= 1.0:
        x = -x if x < 0.0 else 2.0 - x
    return x


def test_reflecting_is_folding_again_and_again():
    x = np.linspace(-10, 10, 801)
    np.testing.assert_allclose(reflect(x), [folded(each) for each in x], atol=1e-13)


@pytest.mark.parametrize("sigma", [0.15, 0.3, 0.5, 0.8, 1.5])
def test_images_and_cosines_are_the_same_kernel(sigma):
    x, y = ENDS_AND_INSIDE[:, None], ENDS_AND_INSIDE
    by_images = image_kernel(x, y, sigma, images=12)
    by_cosines = cosine_kernel(x, y, sigma, terms=40)
    reachable = np.exp(by_images[0]) > 1e-6  # elsewhere the cosines cancel to nothing
    assert reachable.sum() > 18
    for one, other in zip(by_images, by_cosines, strict=True):
        np.testing.assert_allclose(one[reachable], other[reachable], rtol=0, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.02, 0.3, MIDDLE - 1e-9, MIDDLE, 1.0, 50.0])
def test_the_kernel_that_is_chosen_needs_no_further_terms(sigma):
    x, y = ENDS_AND_INSIDE[:, None], ENDS_AND_INSIDE
    long = image_kernel(x, y, sigma, 30) if sigma < MIDDLE else cosine_kernel(x, y, sigma, 60)
    for found, expected in zip(heat_kernel(x, y, sigma), long, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sigma", [0.05, 0.4, 0.6, 2.0])
def test_the_density_integrates_to_one_and_has_no_slope_at_the_walls(sigma):
    x = np.linspace(0.0, 1.0, 4001)
    density, slope = (np.squeeze(v) for v in heat_kernel(x, np.array(0.3), sigma))
    assert np.trapezoid(np.exp(density), x) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(slope[[0, -1]] * np.exp(density[[0, -1]]), 0.0, atol=1e-9)


@pytest.mark.parametrize("sigma", [0.08, 0.45, 0.55, 1.2])
def test_the_score_is_the_slope_of_the_density(sigma):
    latent = np.random.default_rng(1).uniform(0.05, 0.95, 8)
    step = 1e-6
    expected = [
        (BOX.log_density(latent + e, sigma) - BOX.log_density(latent - e, sigma)).sum() / (2 * step)
        for e in step * np.eye(8)
    ]
    np.testing.assert_allclose(BOX.score(latent, sigma), expected, rtol=1e-5, atol=1e-5)


def test_coordinates_diffuse_independently():
    single = Reflected(np.ones(1), np.array([[0.3, 0.8]]))
    latent = np.array([0.6, 0.1])
    for axis, start in enumerate((0.3, 0.8)):
        alone = Reflected(np.ones(1), np.array([[start]]))
        found = alone.score(latent[axis : axis + 1], 0.4)
        np.testing.assert_allclose(single.score(latent, 0.4)[axis], found[0], rtol=1e-13)


@pytest.mark.parametrize("sigma", [0.1, 0.5])
def test_cosines_of_reflected_motion_decay_as_eigenfunctions(sigma):
    """E cos(k pi x_t) = exp(-(k pi sigma)^2 / 2) cos(k pi y), simulated in 25 small steps."""
    rng, count, start = np.random.default_rng(2), 40_000, 0.3
    x = np.full(count, start)
    for _ in range(25):
        x = reflect(x + sigma / 5 * rng.standard_normal(count))
    at_once = Reflected(np.ones(1), np.array([[start]])).sample(rng, count, sigma)
    for k in range(1, 6):
        expected = np.exp(-0.5 * (k * np.pi * sigma) ** 2) * np.cos(k * np.pi * start)
        for samples in (x, at_once):
            assert abs(np.cos(k * np.pi * samples).mean() - expected) < 5 / np.sqrt(count)


def test_samples_stay_in_the_box_and_follow_the_density():
    drawn = BOX.sample(np.random.default_rng(3), 20_000, 0.2).reshape(-1, 2)
    assert drawn.min() >= 0.0
    assert drawn.max() <= 1.0
    side = (np.arange(40) + 0.5) / 40
    cells = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.exp(BOX.log_density(cells.ravel(), 0.2)).reshape(40, 40) / 1600
    for axis in range(2):
        truth = np.cumsum(density.sum(axis=1 - axis))
        found = np.searchsorted(np.sort(drawn[:, axis]), np.arange(1, 41) / 40) / len(drawn)
        assert np.abs(found - truth).max() < 1.63 / np.sqrt(len(drawn))  # 1 % of Kolmogorov


def test_a_table_reads_its_score_as_that_of_any_denoiser():
    latent = np.random.default_rng(4).uniform(0, 1, 6)
    answer = network([BOX], Parametrisation.SCORE, lambda time: (1.0, time))
    np.testing.assert_allclose(answer(latent, 0.3, 0), BOX.score(latent, 0.3), rtol=1e-12)
    denoised, noise = BOX.estimates(latent, 1.0, 0.3)
    np.testing.assert_allclose(denoised + 0.3 * noise, latent, rtol=1e-14)


def test_far_from_all_points_nothing_underflows():
    lone = Reflected(np.ones(1), np.array([[0.0]]))
    np.testing.assert_allclose(lone.score(np.array([0.9]), 0.003), -0.9 / 0.003**2, rtol=1e-12)


@pytest.mark.parametrize(
    ("weights", "points"),
    [
        ([1.0], [[1.2]]),
        ([1.0], [[-0.1]]),
        ([0.0], [[0.1]]),
        ([1.0, 1.0], [[0.1]]),
        ([1.0], [0.1]),
        ([], np.zeros((0, 1))),
    ],
)
def test_what_does_not_lie_in_the_box_is_refused(weights, points):
    with pytest.raises(InvalidInput, match=r"give|takes"):
        Reflected(np.array(weights), np.array(points))


def test_a_box_does_not_shrink():
    with pytest.raises(InvalidInput, match="alpha is 1"):
        BOX.estimates(np.zeros(2), 0.9, 0.1)
    with pytest.raises(InvalidInput, match="no whole number"):
        BOX.score(np.zeros(3), 0.1)
