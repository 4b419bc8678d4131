"""Exact denoisers against quadrature, exact moments against closed forms and samples."""

import dataclasses

import numpy as np
import pytest

from denoisert.kernels.step.form import Form
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.basis import Everywhere, ExternalMap
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.operations import Clip
from denoisert.runtime.sampling.oracle import Gaussian, Mixture, execute, network, propagate
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.table import TableProduct
from tests.runtime.sampling.drafts import assemble, blank
from tests.runtime.sampling.programs import (
    angles,
    coordinates,
    ddim,
    exact,
    gaussians,
    multistep,
    spread,
)

EPS, V = Parametrisation.EPS, Parametrisation.V


def normal(x, mean, variance):
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


def quadrature(prior, latent, alpha, sigma):
    """E[x0 | x] on a fine grid of x0, element by element."""
    x0 = np.linspace(-12, 12, 40001)
    joint = prior(x0) * normal(latent[:, None], alpha * x0, sigma**2)
    return (joint * x0).sum(axis=1) / joint.sum(axis=1)


@pytest.mark.parametrize(("alpha", "sigma"), [(0.9, 0.3), (0.2, 0.98), (1.0, 3.0), (0.0, 1.0)])
def test_denoisers_are_posterior_means(alpha, sigma):
    rng = np.random.default_rng(1)
    latent = 2 * rng.standard_normal(7)
    mixture = Mixture(np.array([1.0, 3.0]), np.array([[-1.0], [0.8]]), np.array([0.1, 0.3]))
    priors = {
        Gaussian(0.4, 0.6): lambda x: normal(x, 0.4, 0.6),
        mixture: lambda x: 0.25 * normal(x, -1.0, 0.1) + 0.75 * normal(x, 0.8, 0.3),
    }
    for denoiser, prior in priors.items():
        denoised, noise = denoiser.estimates(latent, alpha, sigma)
        expected = quadrature(prior, latent, alpha, sigma)
        np.testing.assert_allclose(denoised, expected, rtol=0, atol=1e-9)
        np.testing.assert_allclose(alpha * denoised + sigma * noise, latent, rtol=0, atol=1e-13)


def test_points_of_several_elements_share_their_responsibilities():
    rng = np.random.default_rng(2)
    mixture = Mixture(np.array([0.4, 0.6]), rng.standard_normal((2, 2)), np.array([0.2, 0.5]))
    alpha, sigma, latent = 0.7, 0.6, rng.standard_normal(6)
    side = np.linspace(-7, 7, 701)
    x0 = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    prior = sum(
        w * normal(x0[:, 0], m[0], v) * normal(x0[:, 1], m[1], v)
        for w, m, v in zip(mixture.weights, mixture.means, mixture.variances, strict=True)
    )
    found = mixture.estimates(latent, alpha, sigma)[0].reshape(3, 2)
    for point, expected in zip(latent.reshape(3, 2), found, strict=True):
        joint = prior * normal(point, alpha * x0, sigma**2).prod(axis=1)
        np.testing.assert_allclose(joint @ x0 / joint.sum(), expected, rtol=0, atol=1e-9)


def test_a_gaussian_may_differ_by_element():
    rng = np.random.default_rng(3)
    mean, variance, latent = rng.standard_normal(5), rng.random(5), rng.standard_normal(5)
    together = Gaussian(mean, variance).estimates(latent, 0.8, 0.6)
    for index in range(5):
        alone = Gaussian(mean[index], variance[index]).estimates(
            latent[index : index + 1], 0.8, 0.6
        )
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_array_equal(one[index : index + 1], other)


def test_variance_zero_is_finite_data():
    points = np.array([[-1.0, 2.0], [3.0, 0.5]])
    data = Mixture(np.ones(2), points, np.zeros(2))
    latent = np.concatenate([0.9 * points[1] + 0.01, 0.9 * points[0]])
    denoised, _ = data.estimates(latent, 0.9, 0.05)
    np.testing.assert_allclose(denoised, points[[1, 0]].ravel(), rtol=0, atol=1e-12)
    one, _ = Gaussian(0.3, 0.0).estimates(latent, 0.9, 0.05)
    np.testing.assert_array_equal(one, 0.3)


def test_far_points_do_not_underflow():
    mixture = Mixture(np.array([0.5, 0.5]), np.array([[-1.0], [1.0]]), np.array([0.01, 0.01]))
    denoised, noise = mixture.estimates(np.array([1e4, -1e4]), 1.0, 0.01)
    assert np.isfinite([denoised, noise]).all()
    assert denoised[0] > 1e3


@pytest.mark.parametrize("parametrisation", list(Parametrisation))
def test_a_network_answers_in_its_parametrisation(parametrisation):
    latent = np.random.default_rng(4).standard_normal(8)
    data = gaussians()
    answer = network(data, parametrisation, coordinates)
    for condition in (0, 1):
        alpha, sigma = coordinates(60.0)
        denoised, noise = data[condition].estimates(latent, alpha, sigma)
        a, b = parametrisation.mix(alpha, sigma)
        found = answer(latent, 60.0, condition)
        np.testing.assert_allclose(found, a * denoised + b * noise, rtol=1e-15)
        assert answer(latent.astype(np.float32), 60.0, condition).dtype == np.float32


def closed_form(grid, eta, data):
    """Mean and variance of DDIM(eta) on one Gaussian, step by step in the paper's letters."""
    mean, variance = 0.0, 1.0
    for step in range(grid.steps):
        now, then, gain = grid[step], grid[step + 1], spread(grid, step, eta)
        total = now.alpha**2 * data.variance + now.sigma**2
        pull = now.alpha * data.variance / total
        slope = then.alpha * pull + np.sqrt(then.sigma**2 - gain**2) * now.sigma / total
        mean = then.alpha * data.mean + slope * (mean - now.alpha * data.mean)
        variance = slope**2 * variance + gain**2
    return mean, variance


@pytest.mark.parametrize("parametrisation", list(Parametrisation))
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_moments_of_ddim_equal_the_closed_form(eta, parametrisation):
    grid = angles(9)
    table = fold(ddim(grid, eta), parametrisation, Unguided())
    found = propagate(table, gaussians(), parametrisation)
    mean, variance = closed_form(grid, eta, gaussians()[0])
    assert found.mean[0] == pytest.approx(mean, rel=1e-12)
    assert found.covariance[0, 0] == pytest.approx(variance, rel=1e-12)


def test_moments_reach_those_of_the_data_with_many_steps():
    data, errors = gaussians()[0], []
    for steps in (50, 100, 200):
        table = fold(ddim(angles(steps, first=np.pi / 2 - 1e-4), 1.0), V, Unguided())
        found = propagate(table, gaussians(), V)
        error = abs(found.mean[0] - data.mean) + abs(found.covariance[0, 0] - data.variance)
        errors.append(error)
    slopes = np.log2(np.divide(errors[:-1], errors[1:]))
    assert errors[-1] < 0.02
    assert (slopes > 0.8).all()


@pytest.mark.parametrize("rows", [lambda grid: ddim(grid, 0.8), multistep], ids=["ddim", "K = 4"])
@pytest.mark.parametrize("guidance", [Unguided(), CFG(1.8)])
def test_moments_equal_those_of_many_samples(rows, guidance):
    """One latent of many elements is many samples; 5 standard errors, fixed seed."""
    count, grid = 40_000, angles(6, first=1.3)
    table = fold(rows(grid), EPS, guidance)
    rng = np.random.default_rng(5)
    noise = list(rng.standard_normal((int(table.draws.sum()), count)))
    layout = StateLayout((Part("x", (count,)),))
    samples = execute(table, layout, exact(EPS, gaussians()), noise).latent
    found = propagate(table, gaussians(), EPS)
    mean, variance = found.mean[0], found.covariance[0, 0]
    assert abs(samples.mean() - mean) < 5 * np.sqrt(variance / count)
    assert abs(samples.var() - variance) < 5 * variance * np.sqrt(2 / count)


def test_moments_follow_correlated_registers_inputs_and_externals():
    """R_1 keeps the first draw; both registers end in one sum, with a constant from each side."""
    form = Form(2, 2, 2)
    matrix = blank(form, 1)
    matrix[0, form.register_row(1), [form.draw(0), form.draw(1)]] = 0.5, 2.0
    matrix[1, form.register_row(0), [0, 1, form.one, form.external(0)]] = 1.0, 1.0, 3.0, 0.5
    matrix[1, form.register_row(0), form.branch(1)] = 2.0
    products = (
        TableProduct(0, 4.0, ExternalMap(1), 1),
        TableProduct(0, -1.0, Everywhere(), 1),
    )
    table = assemble(
        form,
        matrix,
        products=((), products),
        input_register=np.array([[0, 0], [0, 1]]),
        input_scale=np.array([[1, 1], [1, 0.5]]),
        external_index=np.array([[-1, -1], [1, 0]]),
        live=np.array([3, 1]),
    )
    data = gaussians()
    found = propagate(table, data, Parametrisation.X0, {"buffer0": [9.0, -2.0], "buffer1": [0.25]})
    alpha, sigma = 0.5 * table.alpha[1], 0.5 * table.sigma[1]
    pull = alpha * data[1].variance / (alpha**2 * data[1].variance + sigma**2)
    through = 1.0 + 2.0 * pull * 0.5 + 4.0 * 0.25 - 1.0
    assert found.mean[0] == pytest.approx(3 - 1 + 2 * data[1].mean * (1 - pull * alpha), rel=1e-13)
    expected = (1 + 0.5 * through) ** 2 + (2 * through) ** 2
    assert found.covariance[0, 0] == pytest.approx(expected, rel=1e-13)


def test_recorded_noise_has_no_spread():
    form = Form(1, 1, 1)
    table = assemble(
        form,
        blank(form, 1) * 0.5,
        noise_source=(0, -1),
        external_index=np.array([[1], [-1]]),
    )
    matrix = table.matrix.copy()
    matrix[1, form.register_row(0), 0] = 1.0
    table = dataclasses.replace(table, matrix=matrix)
    found = propagate(table, gaussians(), V, {"buffer0": [0.0, 6.0]})
    assert (found.mean[0], found.covariance[0, 0]) == (3.0, 0.0)


def test_what_is_not_linear_has_no_exact_moments():
    rows, data = ddim(angles(3)), gaussians()
    for guidance, operation in ((CFG(2.0, rescale=0.5), None), (Unguided(), Clip())):
        with pytest.raises(InvalidInput, match="not linear"):
            propagate(fold(dataclasses.replace(rows, bound=operation), EPS, guidance), data, EPS)


@pytest.mark.parametrize(
    ("weights", "means", "variances"),
    [
        ([1.0], [[0.0], [1.0]], [1.0]),
        ([1.0, 1.0], [0.0, 1.0], [1.0, 1.0]),
        ([1.0, 1.0], [[0.0], [1.0]], [1.0]),
        ([1.0, -1.0], [[0.0], [1.0]], [1.0, 1.0]),
        ([1.0, 1.0], [[0.0], [1.0]], [1.0, -1.0]),
        (1.0, [[0.0]], 1.0),
    ],
)
def test_what_is_no_mixture_is_refused(weights, means, variances):
    with pytest.raises(InvalidInput, match="mixture takes"):
        Mixture(np.array(weights), np.array(means), np.array(variances))


def test_other_refusals():
    with pytest.raises(InvalidInput, match="at least 0"):
        Gaussian(0.0, -1.0)
    with pytest.raises(InvalidInput, match="at least 0"):
        Gaussian(0.0, np.array([1.0, np.nan]))
    with pytest.raises(InvalidInput, match="no whole number of points"):
        Mixture(np.ones(1), np.zeros((1, 2)), np.ones(1)).estimates(np.zeros(3), 1.0, 1.0)
