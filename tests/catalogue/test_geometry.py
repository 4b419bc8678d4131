"""Trajectories of finite data, and guidance as a line through two estimates."""

import numpy as np
import pytest

from denoisert.runtime import CFG, DDIM, Euler, Exponential, Levels
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import Mixture, follow, solve
from denoisert.runtime.sampling.previews import with_previews
from denoisert.runtime.sampling.schedules import EDM, Linear, Trailing
from tests.catalogue.runs import EPS, FLOW, X0, V, samples, table_of

RNG = np.random.default_rng(0)
POINTS = RNG.standard_normal((48, 3))
FINITE = Mixture.of_points(POINTS)
NOISE = np.random.default_rng(1).standard_normal(60)
PATH = EDM(0.002, 80.0)


@pytest.mark.paper(37)
def test_the_exact_estimate_of_finite_data_is_the_mean_shift():
    """D = sum softmax(-|x - y|^2 / (2 sigma^2)) y."""
    x = RNG.standard_normal((20, 3))
    for sigma in (0.05, 0.5, 5.0):
        distances = ((x[:, None] - POINTS) ** 2).sum(axis=2) / (2 * sigma**2)
        shares = np.exp(distances.min(axis=1, keepdims=True) - distances)
        expected = shares @ POINTS / shares.sum(axis=1, keepdims=True)
        found = FINITE.estimates(x.ravel(), 1.0, sigma)[0].reshape(-1, 3)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.paper(37)
@pytest.mark.parametrize("solver", [Euler(), DDIM()], ids=str)
def test_a_step_is_a_convex_combination_of_the_state_and_the_estimate(solver):
    """x_r = (sigma_r / sigma_t) x_t + (1 - sigma_r / sigma_t) D(x_t), to 1e-12, on every step."""
    grid = Exponential(0.01, 20.0).grid(PATH, 10)
    found = samples(solver, grid, FINITE, [NOISE], X0)
    x = grid.sigma[0] * NOISE
    for step in range(10):
        share = grid.sigma[step + 1] / grid.sigma[step]
        assert 0 <= share < 1
        x = share * x + (1 - share) * FINITE.estimates(x, 1.0, grid.sigma[step])[0]
    np.testing.assert_allclose(found, x, atol=1e-12)


@pytest.mark.paper(37)
def test_mean_shift_and_every_point_of_the_step_raise_the_density():
    """At the fixed bandwidth sigma_t; a step past the estimate does not."""
    for sigma in (0.3, 1.0, 3.0):
        x = sigma * RNG.standard_normal(600)
        denoised = FINITE.estimates(x, 1.0, sigma)[0]
        before = FINITE.log_density(x, 1.0, sigma)
        for share in (0.0, 0.3, 0.7, 0.95):
            after = FINITE.log_density(share * x + (1 - share) * denoised, 1.0, sigma)
            assert np.all(after >= before - 1e-12)
        beyond = FINITE.log_density(denoised + 3 * (denoised - x), 1.0, sigma)
        assert np.any(beyond < before)


@pytest.mark.paper(37)
def test_jumping_from_a_level_errs_less_the_lower_it_is():
    """Levels that end (.., sigma_j, 0) output D(x_j); every step below is saved."""
    whole = np.geomspace(80.0, 0.02, 60)
    end = Levels((*whole, 0.0)).grid(PATH, 60)
    full = follow(FINITE, end.sigma[0] * NOISE, end[0], end[60], 600)
    errors, calls = [], []
    for kept in (20, 30, 40, 50):
        spacing = Levels((*whole[:kept], 0.0))
        table = table_of(DDIM(), spacing.grid(PATH, kept), X0)
        jumped = solve(table, [FINITE], X0, [NOISE]).latent
        errors.append(np.sqrt(np.mean((jumped - full) ** 2)))
        calls.append(table.nfe)
    assert calls == [20, 30, 40, 50]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.3 * errors[0]


@pytest.mark.paper(37)
def test_the_estimate_along_the_way_is_an_output_and_settles_before_the_state():
    grid = Exponential(0.05, 20.0).grid(PATH, 12)
    x, trail = grid.sigma[0] * NOISE, []
    for step in range(12):
        denoised = FINITE.estimates(x, 1.0, grid.sigma[step])[0]
        trail.append((x, denoised))
        share = grid.sigma[step + 1] / grid.sigma[step]
        x = share * x + (1 - share) * denoised
    for every in (5, 7, 11):
        table = fold(with_previews(DDIM().rows(grid), every), X0, Unguided())
        run = solve(table, [FINITE], X0, [NOISE])
        last = 12 // every * every
        np.testing.assert_allclose(run.tapes[0][0], trail[last - 1][1], atol=1e-12)
        np.testing.assert_allclose(run.latent, x, atol=1e-12)
    for state, denoised in trail[2:8]:
        assert np.abs(denoised - x).mean() < np.abs(state - x).mean()


@pytest.mark.paper(51)
@pytest.mark.parametrize("parametrisation", [EPS, V, X0, FLOW], ids=str)
@pytest.mark.parametrize("w", [0.0, 0.5, 1.0, 4.0])
def test_the_papers_w_is_the_scale_minus_one(parametrisation, w):
    """E = (1 + w) E_c - w E_u over a few steps, written out; taking w for the scale is wrong."""
    told = Mixture(np.ones(2), POINTS[:2], np.array([0.1, 0.2]))
    free = Mixture(np.ones(3), POINTS[2:5], np.array([0.3, 0.2, 0.4]))
    grid = Trailing().grid(Linear(), 4)
    found = samples(DDIM(), grid, [told, free], [NOISE], parametrisation, guidance=CFG(1 + w))
    x = NOISE
    for step in range(4):
        now, after = grid[step], grid[step + 1]
        (d_c, e_c), (d_u, e_u) = (data.estimates(x, now.alpha, now.sigma) for data in (told, free))
        x = after.alpha * ((1 + w) * d_c - w * d_u) + after.sigma * ((1 + w) * e_c - w * e_u)
    np.testing.assert_allclose(found, x, atol=1e-11 * np.abs(x).max())
    if w:
        wrong = samples(DDIM(), grid, [told, free], [NOISE], parametrisation, guidance=CFG(w))
        assert np.abs(wrong - found).max() > 1e-3
