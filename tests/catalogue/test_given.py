"""From a given latent: noised and denoised, inverted, or rebuilt from the noise that it took."""

import numpy as np
import pytest

from denoisert.runtime import (
    BDIA,
    DDIM,
    EDICT,
    Final,
    Inverse,
    NoiseEncoder,
    NoiseReplay,
    Request,
    Start,
    Trailing,
)
from denoisert.runtime.sampler import Sampler
from denoisert.runtime.sampling.oracle import Gaussian, Mixture, solve
from denoisert.runtime.sampling.schedules import Flow, Linear
from denoisert.runtime.sampling.solvers import Latents
from tests.catalogue.runs import EPS, X0, answered, halvings, moments, samples, table_of
from tests.runtime.networks import perceptron

DATA = Mixture(
    np.array([0.5, 0.3, 0.2]),
    np.array([[1.0, 0.4], [-0.8, 0.9], [0.1, -1.1]]),
    np.array([0.15, 0.25, 0.2]),
)
RNG = np.random.default_rng(0)
CLOSED = Trailing().grid(Linear(), 100)
OPEN = Trailing(Final.LAST).grid(Linear(), 50)


@pytest.mark.paper(4)
@pytest.mark.parametrize("skipped", [0, 50, 80, 99])
def test_a_given_motion_is_noised_to_the_first_step_that_is_not_skipped(skipped):
    """On Gaussian data every step is affine: mean and variance of a fixed motion follow by hand."""
    data, motion = Gaussian(0.2, 0.3), 1.4
    grid = CLOSED.tail(1.0 - skipped / 100)
    assert grid.steps == 100 - skipped
    first = grid[0]
    mean, variance = first.alpha * motion, first.sigma**2
    for step in range(grid.steps):
        now, after = grid[step], grid[step + 1]
        total = now.alpha**2 * 0.3 + now.sigma**2
        slope = (after.alpha * now.alpha * 0.3 + after.sigma * now.sigma) / total
        mean = after.alpha * 0.2 + slope * (mean - now.alpha * 0.2)
        variance *= slope**2
    found = moments(DDIM(), grid, data, source=[motion])
    assert found == pytest.approx((mean, variance), rel=1e-9)


@pytest.mark.paper(4)
def test_the_last_step_alone_answers_the_clean_estimate_of_the_motion():
    grid = CLOSED.tail(0.01)
    motion, noise = RNG.standard_normal((2, 9 * 3 * 34))
    network = lambda x, time, _: np.tanh(x) + time / 2000  # noqa: E731
    found = answered(DDIM(), grid, network, [noise], X0, source=motion)
    first = CLOSED[99]
    expected = network(first.alpha * motion + first.sigma * noise, first.model_time, 0)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.paper(9)
@pytest.mark.paper(96)
def test_strength_runs_from_the_picture_itself_to_sampling_from_noise():
    """At strength 1 on a flow nothing of the picture is left; less moves it less."""
    card, picture = perceptron().card(), RNG.standard_normal(64)
    noise, moved = RNG.standard_normal(64), []
    whole = Trailing().grid(Flow(), 40)
    for strength in (0.025, 0.1, 0.3, 0.6, 1.0):
        request = Request(3, start=Start(np.zeros(60), strength), steps=40)
        grid = Sampler.of(request, card).grid(card)
        found = samples(DDIM(), grid, DATA, [noise], source=picture)
        moved.append(np.sqrt(np.mean((found - picture) ** 2)))
    assert moved == sorted(moved)
    assert moved[0] < 0.1 < 0.5 < moved[-1]
    np.testing.assert_array_equal(found, samples(DDIM(), whole, DATA, [noise]))


@pytest.mark.paper(10)
def test_inverting_and_sampling_again_errs_by_one_over_the_steps():
    errors = []
    for steps in (48, 96, 192):
        grid = Trailing(Final.LAST).grid(Linear(), steps)
        picture = samples(DDIM(), Trailing().grid(Linear(), 200), DATA, [np.ones(32)])
        up = samples(Inverse(DDIM()), grid, DATA, [np.zeros(32)], source=picture)
        down = samples(DDIM(), grid, DATA, [up])
        errors.append(np.abs(down - picture).max())
    np.testing.assert_allclose(halvings(errors), 1.0, atol=0.4)


def recording(solver, grid, data, source, draws):
    """The encoder's end and all that it recorded, page by page."""
    table = table_of(solver, grid, EPS)
    run = solve(table, [data], EPS, draws, {"source": source})
    (pages,) = run.tapes
    return run.latent, np.stack([pages[page] for page in sorted(pages)])


@pytest.mark.paper(19)
@pytest.mark.paper(96)
@pytest.mark.parametrize("eta", [0.4, 1.0])
def test_recorded_noise_replays_to_rounding(eta):
    """4e-16 at first; here over 50 steps in float64, and in float32 within 1e-4."""
    source, draws = RNG.standard_normal(32), list(RNG.standard_normal((51, 32)))
    end, recorded = recording(NoiseEncoder(eta), OPEN, DATA, source, draws)
    zero = [np.zeros(32)]
    found = samples(NoiseReplay(eta), OPEN, DATA, zero, EPS, recorded=recorded)
    np.testing.assert_allclose(found, end, rtol=0, atol=1e-12)
    narrow = recorded.astype(np.float32)
    short = samples(NoiseReplay(eta), OPEN, DATA, [np.zeros(32, np.float32)], EPS, recorded=narrow)
    np.testing.assert_allclose(short, end, rtol=0, atol=1e-4)
    moved = Mixture(DATA.weights, DATA.means + 0.5, DATA.variances)
    other = samples(NoiseReplay(eta), OPEN, moved, zero, EPS, recorded=recorded)
    assert np.abs(other - end).max() > 0.3


@pytest.mark.paper(19)
def test_recorded_noise_is_larger_than_one_and_less_so_with_more_steps():
    """E xi^2 = 1 + (A / c)^2 Var(x0 | x_t), A what x0 weighs in x_s: even of the exact network."""
    data, count, means = Gaussian(0.7, 0.25), 1500, []
    for steps in (50, 200, 1000):
        grid, rng, wanted = Trailing().grid(Linear(), steps), np.random.default_rng(1), []
        source = data.sample(rng, count)
        draws = list(rng.standard_normal((steps + 1, count)))
        _, recorded = recording(NoiseEncoder(), grid, data, source, draws)
        for step in range(steps - 1):
            now, after = grid[step], grid[step + 1]
            q = now.alpha * after.sigma / (after.alpha * now.sigma)
            weight = after.alpha - after.sigma * q * now.alpha / now.sigma
            left = 0.25 * now.sigma**2 / (now.alpha**2 * 0.25 + now.sigma**2)
            wanted.append(1 + weight**2 * left / (after.sigma**2 * (1 - q**2)))
        found = np.mean(recorded[1:] ** 2, axis=1)
        np.testing.assert_allclose(found, wanted, rtol=6 * np.sqrt(2 / count))
        means.append(found.mean())
    np.testing.assert_allclose(means, [1.106, 1.034, 1.006], atol=0.005)


@pytest.mark.paper(19)
def test_another_target_shifts_the_mean_by_the_linear_recursion():
    """delta_s = mean_2(delta_t) - mean_1(0), mean_j the reverse mean of target j."""
    one, two = Gaussian(0.2, 0.3), Gaussian(1.1, 0.3)
    source, draws = RNG.standard_normal(16), list(RNG.standard_normal((51, 16)))
    end, recorded = recording(NoiseEncoder(), OPEN, one, source, draws)
    found = samples(NoiseReplay(), OPEN, two, [np.zeros(16)], EPS, recorded=recorded)
    delta = 0.0
    for step in range(OPEN.steps):
        now, after = OPEN[step], OPEN[step + 1]
        q = now.alpha * after.sigma / (after.alpha * now.sigma)
        kept = after.sigma * q  # sqrt(sigma_s^2 - c^2) of eta = 1

        def mean(data, x, now=now, after=after, kept=kept):
            denoised, noise = data.estimates(np.array([x]), now.alpha, now.sigma)
            return float(after.alpha * denoised[0] + kept * noise[0])

        delta = mean(two, delta) - mean(one, 0.0)
    np.testing.assert_allclose(found - end, delta, rtol=1e-9)
    assert 0.3 < delta < 1.0


@pytest.mark.paper(96)
@pytest.mark.parametrize(
    ("solver", "paired"), [(EDICT(), EDICT(begin=Latents.PAIR)), (BDIA(), BDIA(begin=Latents.PAIR))]
)
def test_an_exact_inversion_keeps_the_picture_where_an_approximate_one_does_not(solver, paired):
    picture, zero = RNG.standard_normal(32), [np.zeros(32)]
    table = table_of(Inverse(solver), OPEN, EPS)
    up = solve(table, [DATA], EPS, zero, {"source": picture})
    back = samples(paired, OPEN, DATA, zero, EPS, source=up.latent, second=up.tapes[0][0])
    np.testing.assert_allclose(back, picture, rtol=0, atol=1e-9)
    approximate = samples(Inverse(DDIM()), OPEN, DATA, zero, EPS, source=picture)
    lost = samples(DDIM(), OPEN, DATA, [approximate], EPS)
    assert np.abs(lost - picture).max() > 1e-2
