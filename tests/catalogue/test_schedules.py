"""Where a run starts, which levels it visits and what the network hears of them."""

import math

import numpy as np
import pytest

from denoisert.runtime import (
    DDIM,
    AlignYourSteps,
    Begin,
    DPMpp2M,
    Exponential,
    Final,
    Karras,
    Leading,
    Linspace,
    Published,
    Request,
    Start,
    Trailing,
    Truncated,
)
from denoisert.runtime.bundle.card import Training
from denoisert.runtime.sampler import Sampler
from denoisert.runtime.sampling.oracle import Gaussian, Mixture, sliced_wasserstein
from denoisert.runtime.sampling.schedules import EDM, Linear, ScaledLinear, SharedTimes
from denoisert.runtime.sampling.schedules.optimise import ErrorCurve, Objective, measure, optimise
from tests.catalogue.runs import EPS, V, answered, moments, samples
from tests.runtime.networks import perceptron

MIXTURE = Mixture(
    np.array([0.3, 0.45, 0.25]),
    np.array([[-1.0, 0.2], [0.8, 0.9], [0.4, -1.1]]),
    np.array([0.01, 0.04, 0.02]),
)
DATA = Gaussian(0.8, 0.25)
TRUNCATIONS = (20.0, 5.0, 2.0, 1.0, 0.5)


@pytest.mark.paper(17)
@pytest.mark.parametrize("level", TRUNCATIONS)
def test_from_samples_of_its_level_a_short_run_is_as_good_as_a_long_one(level):
    grid = Truncated(Karras(7.0, 0.02, 60.0), level).grid(Linear(), 120)
    start, rng, truth = grid[0], np.random.default_rng(1), np.random.default_rng(2)
    assert start.sigma_ve == pytest.approx(level)
    source = MIXTURE.sample(rng, 10_000, start.alpha, start.sigma)
    found = samples(DPMpp2M(), grid, MIXTURE, [np.zeros(source.size)], source=source)
    wanted = MIXTURE.sample(truth, 10_000).reshape(-1, 2)
    assert sliced_wasserstein(found.reshape(-1, 2), wanted) < 0.065
    if level <= 1.0:
        noise = [rng.standard_normal(source.size)]
        begun = Truncated(Karras(7.0, 0.02, 60.0), level, Begin.NOISE).grid(Linear(), 120)
        wrong = samples(DPMpp2M(), begun, MIXTURE, noise).reshape(-1, 2)
        assert sliced_wasserstein(wrong, wanted) > 0.1


@pytest.mark.paper(17)
def test_from_plain_noise_the_bias_is_the_predicted_one_and_grows_as_the_run_shortens():
    """On a Gaussian the flow is x -> k (x - alpha m), so N(0, 1) arrives k alpha m too low."""
    divergences, errors = [], []
    for level in TRUNCATIONS:
        grid = Truncated(Karras(7.0, 0.02, 60.0), level, Begin.NOISE).grid(Linear(), 400)
        start = grid[0]
        mean, variance = DATA.moments(start.alpha, start.sigma)
        found = moments(DPMpp2M(), grid, DATA)
        stretch = math.sqrt(0.25 / variance)
        assert found[0] - 0.8 == pytest.approx(-stretch * mean, rel=0.02)
        assert found[1] == pytest.approx(stretch**2, rel=0.02)
        errors.append(0.8 - found[0])
        divergences.append(0.5 * (variance + mean**2 - 1 - math.log(variance)))
    assert np.all(np.diff(divergences) > 0)
    assert np.all(np.diff(errors) > 0)
    assert errors[-1] > 0.3 > 0.03 > errors[0]


@pytest.mark.paper(17)
def test_a_request_hands_the_sample_in_and_no_noise_is_added():
    card = perceptron().card(training=Training(EPS, Linear()))
    spacing = Truncated(Karras(7.0, 0.02, 60.0), 2.0)
    request = Request(3, start=Start(np.zeros(60), 1.0), steps=20, schedule=spacing)
    grid = Sampler.of(request, card).grid(card)
    assert (grid.source_gain, grid.noise_gain) == (1.0, 0.0)
    assert grid[0].sigma_ve == pytest.approx(2.0)
    assert 5 < grid.steps < 20


@pytest.mark.paper(26)
def test_the_network_hears_the_start_of_a_part_and_the_rows_take_the_true_time():
    """f(t) on both sides of every edge, and the loop written out with f(t) and the true alpha."""
    schedule = SharedTimes(Linear(), below=100.0, parts=5)
    edges = np.array([0.0, 19.0, 20.0, 21.0, 79.0, 80.0, 99.0, 100.0, 101.0, 999.0])
    heard = [0.0, 0.0, 20.0, 20.0, 60.0, 80.0, 80.0, 100.0, 101.0, 999.0]
    np.testing.assert_array_equal(schedule.told(edges), heard)
    grid = Trailing().grid(schedule, 200)
    network = lambda x, time: np.tanh(x) / 2 + np.sin(time / 15) / 2  # noqa: E731
    noise = np.random.default_rng(3).standard_normal(6)
    found = answered(DDIM(), grid, lambda x, time, _: network(x, time), [noise], EPS)

    def loop(hears):
        kept, x = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)), noise
        times = list(range(999, -1, -5))
        for now, then in zip(times, [*times[1:], None], strict=True):
            after = 1.0 if then is None else kept[then]
            eps = network(x, hears(now))
            clean = (x - np.sqrt(1 - kept[now]) * eps) / np.sqrt(kept[now])
            x = np.sqrt(after) * clean + np.sqrt(1 - after) * eps
        return x

    np.testing.assert_allclose(found, loop(lambda t: t // 20 * 20 if t < 100 else t), atol=1e-11)
    assert np.abs(found - loop(lambda t: t)).max() > 1e-3


@pytest.mark.paper(26)
def test_a_network_that_is_deaf_near_the_data_samples_the_same():
    shared, plain = SharedTimes(Linear(), below=100.0, parts=5), Linear()
    noise = np.random.default_rng(4).standard_normal(6)
    for solver, spacing in ((DDIM(), Trailing()), (DPMpp2M(), Linspace())):
        deaf = lambda x, time, _: np.tanh(x + max(time, 100.0) / 300)  # noqa: E731
        one, other = (
            answered(solver, spacing.grid(path, 40), deaf, [noise], EPS) for path in (shared, plain)
        )
        np.testing.assert_allclose(one, other, atol=1e-12)


PUBLISHED = {
    Published.PICTURE_512: (ScaledLinear(), [14.6146412293, 6.4745760956, 3.8636745985,
        2.6946151520, 1.8841921177, 1.3943805092, 0.9642583904, 0.6523686016, 0.3977456272,
        0.1515232662, 0.0291671582]),
    Published.CLIP: (EDM(0.002, 700.0), [700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403,
        0.173, 0.034, 0.002]),
}  # fmt: skip


@pytest.mark.paper(56)
@pytest.mark.parametrize("published", list(PUBLISHED), ids=str)
@pytest.mark.parametrize("steps", [5, 10, 20, 28])
def test_published_levels_are_interpolated_as_published(published, steps):
    """Log-linear in the index over the reversed list, then the last level becomes 0."""
    schedule, ten = PUBLISHED[published]
    xs, logs = np.linspace(0, 1, 11), np.log(ten[::-1])
    expected = np.exp(np.interp(np.linspace(0, 1, steps + 1), xs, logs))[::-1].copy()
    expected[-1] = 0.0
    grid = AlignYourSteps(published).grid(schedule, steps)
    found = np.array([grid[k].sigma_ve for k in range(steps + 1)])
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-12)


def gaussian_curve():
    levels = np.geomspace(0.002, 80.0, 200)
    return ErrorCurve(levels, 0.25 * levels**2 / (0.25 + levels**2), 0.25)


@pytest.mark.paper(56)
@pytest.mark.parametrize("steps", [5, 10, 20])
def test_the_optimiser_finds_equal_angles_on_gaussian_data(steps):
    """t = c tan(angle): no angle is 2 % off, and ten steps keep cos(range / 10)^10 = 0.885."""
    found = optimise(gaussian_curve(), steps, Objective.VARIANCE, Final.SPACED)
    angles = np.arctan(np.array(found.levels) / 0.5)
    even = np.linspace(angles[0], angles[-1], steps + 1)
    assert np.abs(np.diff(angles) / np.diff(even) - 1).max() < 0.02
    kept = np.cos((angles[0] - angles[-1]) / steps) ** steps
    assert deviation_kept(found, steps) == pytest.approx(kept, rel=1e-4)
    if steps == 10:
        karras = deviation_kept(Karras(final=Final.SPACED), 10)
        even_logs = deviation_kept(Exponential(final=Final.SPACED), 10)
        np.testing.assert_allclose([kept, karras, even_logs], [0.885, 0.753, 0.767], atol=1e-3)


def deviation_kept(spacing, steps):
    """What first-order steps leave of the standard deviation of N(0, 0.25), started exactly."""
    grid = spacing.grid(EDM(), steps)
    start = Gaussian(0.0, 0.25 + grid.sigma[0] ** 2)
    begun = Truncated(spacing, float(grid.sigma[0])).grid(EDM(), steps)
    variance = moments(DDIM(), begun, Gaussian(0.0, 0.25), source=[start])[1]
    return math.sqrt(variance / (0.25 + grid.sigma[-1] ** 2))


@pytest.mark.paper(56)
def test_on_a_mixture_its_levels_sample_better_than_karras():
    rng = np.random.default_rng(5)
    clean = MIXTURE.sample(rng, 2000).reshape(-1, 2)

    def denoise(x, level):
        return MIXTURE.estimates(x.ravel(), 1.0, level)[0].reshape(x.shape)

    curve = measure(denoise, clean, np.geomspace(0.01, 20.0, 100), seed=3)
    path, noise = EDM(0.01, 20.0), rng.standard_normal(8000)
    distances = {}
    for name, spacing in (("ours", optimise(curve, 8)), ("karras", Karras())):
        found = samples(DDIM(), spacing.grid(path, 8), MIXTURE, [noise]).reshape(-1, 2)
        truth = MIXTURE.sample(np.random.default_rng(6), 4000).reshape(-1, 2)
        distances[name] = sliced_wasserstein(found, truth)
    assert distances["ours"] < distances["karras"]


@pytest.mark.paper(119)
def test_a_leak_of_the_datas_law_removes_the_bias_of_the_start():
    """x = alpha_1 leak + sigma_1 xi is then the exact marginal; plain noise lacks alpha_1 m."""
    data = Gaussian(1.5, 1.0)
    plain = Trailing().grid(ScaledLinear(), 100)
    assert abs(moments(DDIM(), plain, data)[0] - 1.5) > 0.09
    leaked = plain.tail(1.0)
    found = moments(DDIM(), leaked, data, source=[data])
    assert found[0] == pytest.approx(1.5, abs=1e-12)
    start = leaked[0]
    assert (leaked.source_gain, leaked.noise_gain) == (start.alpha, start.sigma)


@pytest.mark.paper(119)
@pytest.mark.parametrize("spacing", [Trailing(), Leading(), Linspace()], ids=str)
def test_a_request_noises_the_leak_to_the_schedules_first_time(spacing):
    """Not to the last train time: leading spacing starts earlier, where more signal is left."""
    card = perceptron().card(training=Training(EPS, ScaledLinear()))
    request = Request(3, start=Start(np.zeros(60), 1.0), steps=20, schedule=spacing)
    grid = Sampler.of(request, card).grid(card)
    kept = np.cumprod(1 - ScaledLinear().betas())
    alpha = np.sqrt(kept[int(grid.model_time[0])])
    assert (grid.source_gain, grid.noise_gain) == pytest.approx((alpha, np.sqrt(1 - alpha**2)))
    data = Gaussian(1.5, 1.0)
    assert moments(DDIM(), grid, data, V, source=[data])[0] == pytest.approx(1.5, abs=1e-9)
    assert (grid.model_time[0] == 999) == (not isinstance(spacing, Leading))
