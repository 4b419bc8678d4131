"""DDPM and what grew from it: fixed, learned and interpolated variances, respaced chains."""

import numpy as np
import pytest

from denoisert.runtime import CFG, DDIM, DDPM, Bounded, Clip, Correction, Final, PredictorCorrector
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.basis import EstimateMap
from denoisert.runtime.sampling.oracle import Gaussian, execute, variational_bound
from denoisert.runtime.sampling.schedules import Cosine, Linear, Respaced, Strided, Trailing
from denoisert.runtime.sampling.solvers import Variance
from tests.catalogue.runs import EPS, X0, answered, halvings, moments, table_of
from tests.oracles import float64

WHOLE = Trailing().grid(Linear(), 1000)
RNG = np.random.default_rng(0)


def betas(grid):
    """(beta, posterior beta) of every step, as the papers write them, from alpha^2 alone."""
    kept, after = grid.alpha[:-1] ** 2, grid.alpha[1:] ** 2
    beta = 1 - kept / after
    return beta, beta * (1 - after) / (1 - kept)


def gains(rows, unit):
    """Coefficients of one column in R_0, a number for each stage."""
    return rows.registers[1:, 0] @ unit


@pytest.mark.paper(45)
def test_all_thousand_steps_are_diffusers_and_clip_before_the_mean():
    """Every train time, on the same noise, with a network that leaves the range."""
    scheduler = float64.module("ddpm").DDPMScheduler(beta_schedule="linear")
    scheduler.set_timesteps(1000)
    draws = list(RNG.standard_normal((1000, 4)))
    network = lambda x, time: 1.2 * np.tanh(x) + 0.3 * np.sin(time / 90)  # noqa: E731
    noises = float64.Noises([draw.reshape(1, 1, 2, 2) for draw in draws[1:]])
    expected = float64.sample(scheduler, network, draws[0].reshape(1, 1, 2, 2), generator=noises)
    solver = Bounded(DDPM(), Clip(-1.0, 1.0))
    found = answered(solver, WHOLE, lambda x, time, _: network(x, time), draws, EPS)
    np.testing.assert_allclose(found, expected.ravel(), rtol=0, atol=1e-11)


@pytest.mark.paper(45)
def test_clipping_acts_on_the_estimate_and_not_on_the_state():
    grid = Trailing().grid(Linear(), 30)
    draws = list(RNG.standard_normal((30, 4)))
    network = lambda x, time, _: 1.2 * np.tanh(x) + 0.3 * np.sin(time / 90)  # noqa: E731
    solvers = [DDPM(), *(Bounded(DDPM(), Clip(-1.0, 1.0, rederive=r)) for r in (False, True))]
    free, kept, derived = (answered(each, grid, network, draws, EPS) for each in solvers)
    assert np.abs(free - kept).max() > 0.1
    np.testing.assert_allclose(derived, kept, atol=1e-12)  # the mean reads x_t, not E


@pytest.mark.paper(45)
def test_the_constants_of_all_times_are_the_papers():
    beta, small = betas(WHOLE)
    rows = DDPM().rows(WHOLE)
    basis = rows.basis
    kept, after = WHOLE.alpha[:-1] ** 2, WHOLE.alpha[1:] ** 2
    np.testing.assert_allclose(
        gains(rows, basis.denoised), np.sqrt(after) * beta / (1 - kept), rtol=1e-9
    )
    np.testing.assert_allclose(
        gains(rows, basis.registers[0]),
        np.sqrt(1 - beta) * (1 - after) / (1 - kept),
        rtol=1e-9,
        atol=1e-15,
    )
    np.testing.assert_allclose(gains(rows, basis.draws[0]) ** 2, small, rtol=1e-9, atol=1e-15)
    large = DDPM(gamma=1.0).rows(WHOLE)
    np.testing.assert_allclose(gains(large, basis.draws[0])[:-1] ** 2, beta[:-1], rtol=1e-9)
    assert gains(large, basis.draws[0])[-1] == 0.0


@pytest.mark.paper(45)
@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_a_thousand_steps_give_the_datas_moments(gamma):
    mean, variance = moments(DDPM(gamma=gamma), WHOLE, Gaussian(0.7, 0.25))
    assert mean == pytest.approx(0.7, abs=0.005)
    assert variance == pytest.approx(0.25, abs=0.01)
    few = moments(DDPM(gamma=gamma), Trailing().grid(Linear(), 10), Gaussian(0.7, 0.25))
    assert abs(few[1] - 0.25) > 5 * abs(variance - 0.25)


@pytest.mark.paper(45)
def test_its_bound_is_above_the_likelihood_and_falls_with_the_steps():
    """Most of what is left lies in the last steps, over which the noise level halves and more."""
    data, clean = Gaussian(0.7, 0.25), np.linspace(0.0, 1.4, 5)
    gaps = []
    for steps in (125, 250, 500):
        grid = Trailing(Final.LAST).grid(Linear(), steps)
        found = variational_bound(grid, data, clean, np.array([[1.0], [-1.0]])).total
        gaps.append((found + data.log_density(clean, 1.0, 0.0)).mean())
    np.testing.assert_allclose(gaps, [5.73, 1.93, 0.754], rtol=0.01)


def learned(solver, output):
    """(beta, small, squared noise) of every noisy step, the variance output held at a number."""
    grid = Trailing(Final.LAST).grid(Linear(), 10)
    beta, small = betas(grid)
    table = table_of(solver, grid, EPS)
    layout = StateLayout((Part("x", (1,)),))
    answer = lambda x, time, condition: (0.0 * x, np.full(1, output))  # noqa: E731
    spreads = []
    for step in range(10):
        noise = [np.zeros(1) for _ in range(11)]
        base = execute(table, layout, answer, noise).latent[0]
        noise[step + 1] = np.ones(1)
        moved = execute(table, layout, answer, noise).latent[0] - base
        spreads.append(moved * grid.alpha[step + 1] / grid.alpha[-1])
    return beta, small, np.square(spreads)


@pytest.mark.paper(7)
@pytest.mark.paper(59)
def test_a_learned_variance_reaches_from_the_posterior_beta_to_beta():
    """E = 0 makes a step's noise arrive times alpha_end / alpha_s, whatever comes after."""
    beta, small, found = learned(DDPM(Variance.LEARNED_RANGE), 1.0)
    np.testing.assert_allclose(found, beta, rtol=1e-9)
    _, _, found = learned(DDPM(Variance.LEARNED_RANGE), -1.0)
    np.testing.assert_allclose(found, small, rtol=1e-9)
    _, _, found = learned(DDPM(Variance.LEARNED_RANGE), 0.0)
    np.testing.assert_allclose(found, np.sqrt(beta * small), rtol=1e-9)
    assert (beta / small)[-1] > 100


@pytest.mark.paper(7)
def test_guidance_acts_on_the_mean_and_the_condition_says_the_variance():
    rows = DDPM(Variance.LEARNED_RANGE).rows(Trailing(Final.LAST).grid(Linear(), 4))
    table = table_of(DDPM(Variance.LEARNED_RANGE), Trailing(Final.LAST).grid(Linear(), 4), EPS)
    assert table.nfe == 4
    layout, seen = StateLayout((Part("x", (1,)),)), []

    def answer(x, time, condition):
        seen.append(condition)
        return np.full(1, 0.2 + condition), np.full(1, [0.4, -0.9][condition])

    noise = [np.ones(1)] * 5
    guided = table_of(
        DDPM(Variance.LEARNED_RANGE), Trailing(Final.LAST).grid(Linear(), 4), EPS, CFG(3.0)
    )
    found = execute(guided, layout, answer, noise).latent[0]
    assert sorted(set(seen)) == [0, 1]
    assert len(seen) == guided.nfe == 8  # no call more for the variance
    plain = execute(
        table, layout, lambda *_: (np.full(1, 3 * 0.2 - 2 * 1.2), np.full(1, 0.4)), noise
    )
    assert found == pytest.approx(plain.latent[0], rel=1e-12)
    assert any(isinstance(term.map, EstimateMap) for term in rows.products[1])


@pytest.mark.paper(59)
@pytest.mark.parametrize(
    ("spacing", "ends"),
    [
        (Respaced(), {0, 999}),
        (Respaced((10, 15, 25)), {0, 333, 334, 666, 667, 999}),  # of sections of 334, 333, 333
        (Strided(), set(range(0, 1000, 20))),
    ],
    ids=str,
)
def test_respacing_keeps_alpha_and_its_betas_follow(spacing, ends):
    grid = spacing.grid(Cosine(), 50)
    assert ends <= set(grid.model_time[:-1].astype(int))
    kept = np.cumprod(1 - Cosine().betas())
    np.testing.assert_allclose(grid.alpha[:-1] ** 2, kept[grid.model_time[:-1].astype(int)])
    beta, small = betas(grid)
    np.testing.assert_allclose(np.cumprod((1 - beta)[::-1])[::-1], grid.alpha[:-1] ** 2, rtol=1e-9)
    found = DDPM().rows(grid)
    np.testing.assert_allclose(
        gains(found, found.basis.draws[0]) ** 2, small, rtol=1e-9, atol=1e-15
    )
    wrong = Cosine().betas()[grid.model_time[:-1].astype(int)]
    assert np.abs(beta / wrong - 1).max() > 1  # those of the whole chain are no betas of this one


@pytest.mark.paper(59)
def test_ddpm_and_ddim_meet_at_many_respaced_steps():
    """Both reach the data's variance as one over the steps, from opposite sides of the noise."""
    data = Gaussian(0.7, 0.25)
    for solver in (DDPM(), DDIM()):
        errors = []
        for steps in (125, 250, 500):
            found = moments(solver, Respaced().grid(Linear(), steps), data)
            errors.append(abs(found[1] - 0.25))
        np.testing.assert_allclose(halvings(errors), 1.0, atol=0.3)


@pytest.mark.paper(52)
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_the_variance_lies_between_small_and_large_in_the_logarithm(gamma):
    grid = Trailing(Final.LAST).grid(Cosine(), 16)
    beta, small = betas(grid)
    rows = DDPM(gamma=gamma).rows(grid)
    expected = small ** (1 - gamma) * beta**gamma
    np.testing.assert_allclose(gains(rows, rows.basis.draws[0]) ** 2, expected, rtol=1e-9)


@pytest.mark.paper(52)
def test_the_corrector_is_a_fixed_langevin_step_on_states_of_frames():
    """z <- z - d sigma E / 2 + sqrt(d) sigma n, d = 0.1, as a loop over (C, F, H, W)."""
    delta, shape = 0.1, (2, 3, 2, 2)
    grid = Trailing(Final.LAST).grid(Cosine(), 4)
    solver = PredictorCorrector(1, delta**0.5 / 2, Correction.LEVEL)
    rows = solver.rows(grid)
    draws = list(RNG.standard_normal((9, 24)))
    network = lambda x, time, _: np.tanh(x) + time / 2000  # noqa: E731
    layout = StateLayout((Part("frames", shape),))
    found = execute(table_of(solver, grid, EPS), layout, network, draws).latent
    z = draws[0]
    for step in range(4):
        now, after = grid[step], grid[step + 1]
        share = (now.alpha / after.alpha) ** 2  # the published code's, 1 on the paper's time
        size, n = share * delta, draws[2 * step + 1]
        z = z - size / 2 * now.sigma * network(z, now.model_time, 0) + np.sqrt(size) * now.sigma * n
        ratio = now.alpha / after.alpha
        g2 = now.sigma**2 - (ratio * after.sigma) ** 2
        z = (2 - ratio) * z - g2 / now.sigma * network(z, now.model_time, 0)
        if step < 3:
            z = z + np.sqrt(g2) * draws[2 * step + 2]
    np.testing.assert_allclose(found, z, rtol=0, atol=1e-12)
    assert rows.stages == 8
    np.testing.assert_allclose(
        moments(solver, Trailing().grid(Cosine(), 256), Gaussian(0.7, 0.25), X0),
        (0.7, 0.25),
        atol=0.02,
    )
