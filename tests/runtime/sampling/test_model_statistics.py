"""Statistics from finite differences, where they are known, and what they are good for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from denoisert.export.zoo.digits import quality
from denoisert.export.zoo.digits.data import load_digits
from denoisert.export.zoo.digits.model import DigitsConfig, DigitsDiT
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import Gaussian, execute, follow, solve
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Flow, Linear
from denoisert.runtime.sampling.solvers import DDIM, RES, Corrector, DPMSolverV3
from denoisert.runtime.sampling.solvers.model_statistics import Statistics
from denoisert.runtime.sampling.solvers.statistics_estimate import estimate_statistics
from tests.runtime.sampling.trials import DATA

EPS, FLOW = Parametrisation("eps"), Parametrisation("flow")
KNOTS = np.linspace(-2.5, 2.5, 101)
MEAN = np.array([0.7, -0.4, 0.1, 1.2])
VARIANCE = np.array([0.25, 1.0, 0.04, 2.0])


def noise_of(denoiser):
    """A noise estimate as the estimator asks for it: of all samples at once."""

    def estimate(states, point):
        return np.array([denoiser.estimates(x, point.alpha, point.sigma)[1] for x in states])

    return estimate


def between(path, steps, low=KNOTS[0], high=KNOTS[-1]):
    levels = np.exp(-np.linspace(low, high, steps + 1))
    alpha, sigma = path.coordinates(levels)
    return Grid(alpha, sigma, path.model_time(levels), float(sigma[0]), path=path)


def gaussian_statistics(samples=6, **options):
    rng = np.random.default_rng(0)
    data = MEAN + np.sqrt(VARIANCE) * rng.standard_normal((samples, 4))
    noise = noise_of(Gaussian(MEAN, VARIANCE))
    return estimate_statistics(noise, Linear(), KNOTS, data, **options)


def error(solver, grid, denoiser, noise, statistics=None):
    """RMS to the probability flow at the grid's end."""
    table = fold(solver.rows(grid), EPS, Unguided())
    arrays = solver.externals(grid, statistics) if statistics else None
    found = solve(table, [denoiser], EPS, [noise], arrays).latent
    truth = follow(denoiser, grid.noise_gain * noise, grid[0], grid[grid.steps], 400)
    return float(np.sqrt(np.mean((found - truth) ** 2)))


def test_a_gaussian_is_known():
    """l = sigma^2 / (alpha^2 v + sigma^2); f = -l mean is the same for all data, so s = 0."""
    found = gaussian_statistics(probes=2)
    alpha, sigma = Linear().coordinates(np.exp(-KNOTS))
    total = alpha[:, None] ** 2 * VARIANCE + sigma[:, None] ** 2
    linear = sigma[:, None] ** 2 / total
    np.testing.assert_allclose(found.linear, linear, rtol=1e-8)
    np.testing.assert_array_equal(found.scale, 0.0)
    slope = 2 * linear * (1 - linear) * MEAN  # d(-l mean) / dlambda
    inside = slice(1, -1)
    np.testing.assert_allclose(found.bias[inside], slope[inside], atol=2e-3)


def test_with_them_one_step_is_enough_for_gaussian_data():
    """What is left is the trapezoids: from 2.5 to -2.5 in one or two steps of order 1."""
    noise = np.random.default_rng(3).standard_normal(4)
    gaussian, statistics = Gaussian(MEAN, VARIANCE), gaussian_statistics()
    for steps in (1, 2, 5):
        grid = between(Linear(), steps)
        ours = error(DPMSolverV3(1), grid, gaussian, noise, statistics)
        assert ours < 2e-3 < 0.1 * error(DDIM(), grid, gaussian, noise)


def test_on_a_mixture_the_first_order_error_falls():
    """The statistics are means over the data, so the noise of all starts counts together."""
    rng = np.random.default_rng(1)
    elements = 64
    means = np.array([[1.0, 0.4], [-0.8, 0.9], [0.1, -1.1]])
    deviations = np.sqrt([0.15, 0.25, 0.2])
    samples = []
    for _ in range(100):
        drawn = rng.choice(3, p=[0.5, 0.3, 0.2], size=elements // 2)
        spread = deviations[drawn][:, None] * rng.standard_normal((elements // 2, 2))
        samples.append((means[drawn] + spread).reshape(-1))
    statistics = estimate_statistics(noise_of(DATA), Linear(), KNOTS[::4], np.array(samples))
    noise = rng.standard_normal(elements)
    for steps in (5, 10):
        grid = between(Linear(), steps)
        plain = error(DDIM(), grid, DATA, noise)
        assert error(DPMSolverV3(1), grid, DATA, noise, statistics) < 0.8 * plain


def test_the_order_needs_no_good_statistics():
    """Any smooth statistics integrate the same flow: even wrong ones leave orders 1 and 2."""
    rng = np.random.default_rng(2)
    noise = rng.standard_normal(8)
    knots = np.linspace(-2.5, 2.5, 1201)
    waves = np.sin(knots[:, None, None] * rng.uniform(0.2, 1.0, (3, 8))).transpose(1, 0, 2)
    statistics = Statistics(knots, 0.5 + 0.3 * waves[0], 0.4 * waves[1], 0.4 * waves[2])
    for solver, order in ((DPMSolverV3(1), 1), (DPMSolverV3(2), 2), (DPMSolverV3(3), 2)):
        errors = [
            error(solver, between(Linear(), n), DATA, noise, statistics) for n in (20, 40, 80)
        ]
        slopes = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
        assert abs(slopes[-1] - order) < 0.3 or slopes[-1] > order


def test_the_corrector_lowers_the_error():
    noise = np.random.default_rng(4).standard_normal(8)
    knots = np.linspace(-2.5, 2.5, 1201)
    statistics = Statistics.of_clean_estimate(knots, 8)
    grid = between(Linear(), 24)
    plain = error(DPMSolverV3(2), grid, DATA, noise, statistics)
    assert error(DPMSolverV3(2, Corrector.ON), grid, DATA, noise, statistics) < 0.6 * plain


def test_a_regression_needs_two_samples():
    with pytest.raises(InvalidInput, match="at least 2"):
        estimate_statistics(noise_of(DATA), Linear(), KNOTS, np.zeros((1, 4)))


def test_the_seed_decides_everything():
    one, same, other = (gaussian_statistics(seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.linear, same.linear)
    np.testing.assert_array_equal(one.bias, same.bias)
    assert np.abs(one.bias - other.bias).max() > 0.0


WEIGHTS = Path(quality.__file__).parent / "weights.safetensors"
LAYOUT = StateLayout((Part("image", (1, 16, 16)),))


@pytest.fixture
def velocity():
    """The digits network on one thread: raw output for (samples, 256) at time t, all of a class."""
    model = DigitsDiT(DigitsConfig())
    model.load_state_dict(load_file(WEIGHTS), strict=True)
    model.eval()

    def answer(latents, time):
        x = torch.from_numpy(latents.astype(np.float32).reshape(-1, 1, 16, 16))
        with torch.inference_mode():
            found = model(x, torch.full((len(x),), time), torch.full((len(x),), 3))
        return found.numpy().reshape(latents.shape).astype(float)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield answer
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_statistics_of_a_trained_network_lower_its_first_order_error(velocity):
    """The digits in 5 and 8 steps, against 100 steps of third order."""
    pictures = load_digits()
    data = pictures.images[pictures.labels == 3][:12].reshape(-1, 256).astype(float)
    knots = np.linspace(-3.0, 3.0, 25)
    statistics = estimate_statistics(
        lambda x, point: x + point.alpha * velocity(x, point.sigma),
        Flow(),
        knots,
        data,
        distance=0.02,
    )
    noises = np.random.default_rng(0).standard_normal((2, 256))

    def distance(solver, steps, arrays=None):
        grid = between(Flow(), steps, -3.0, 3.0)
        return np.array([run(solver, grid, noise, velocity, arrays) for noise in noises])

    truth = distance(RES(3), 100)
    for steps in (5, 8):
        plain = np.sqrt(np.mean((distance(DDIM(), steps) - truth) ** 2))
        ours = np.sqrt(np.mean((distance(DPMSolverV3(1), steps, statistics) - truth) ** 2))
        assert ours < 0.9 * plain


def run(solver, grid, noise, velocity, statistics):
    table = fold(solver.rows(grid), FLOW, Unguided())
    arrays = solver.externals(grid, statistics) if statistics else None

    def answer(latent, time, _):
        return velocity(latent, time)

    return execute(table, LAYOUT, answer, [noise], arrays).latent


def test_an_integrand_that_is_rounding_has_no_slope():
    """Gaussian data of mean 0: f is 0 but for rounding, of which no line is fitted."""
    data, rng = Gaussian(np.array([0.0, 1.0]), 0.25), np.random.default_rng(0)
    clean = data.mean + 0.5 * rng.standard_normal((200, 2))
    knots = np.linspace(-3.0, 3.0, 12)
    found = estimate_statistics(noise_of(data), Linear(), knots, clean)
    assert np.abs(found.scale).max() < 1e3
    assert np.isfinite(found.bias).all()
