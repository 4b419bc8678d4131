"""The residual bridge: a table with the degraded picture as a column."""

from itertools import pairwise

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.names import SOLVERS
from denoisert.runtime.sampling.operations import Clip
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Karras, ResidualBridgePath, Trailing
from denoisert.runtime.sampling.solvers import (
    DDIM,
    EDICT,
    RES,
    Bounded,
    Inverse,
    ResidualBridge,
    RESMultistep,
    SASolver,
    UniPC,
)

X0 = Parametrisation.X0
LAYOUT = StateLayout((Part("picture", (3, 4, 4)),))
PATH = ResidualBridgePath()
GRID = Trailing().grid(PATH, 10)


def coefficients(strength=10 / 255, count=100):
    """The paper's Theta and Sigma, written out from its code."""
    bar = lambda u: np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2  # noqa: E731
    u = np.arange(count + 1) / count
    betas = np.minimum(1 - bar(u[1:]) / bar(u[:-1]), 0.999)
    done = np.cumsum(betas)
    left, whole = done[-1] - done, np.sinh(done[-1])
    theta = np.sinh(left) / whole
    return theta, np.sqrt(2 * strength * np.sinh(done) * np.sinh(left) / whole)


def published(network, mu, steps=10):
    """Its sampling loop, with the clip."""
    theta, sigma = coefficients()
    times = np.linspace(-1, 99, steps + 1).astype(int)[::-1]
    x = mu
    for now, then in pairwise(times):
        clean = np.clip(network(x, now), -1, 1)
        if then < 0:
            x = clean
        elif now == 99:
            x = mu + theta[then] * (clean - mu)
        else:
            ratio = sigma[then] / sigma[now]
            x = mu + ratio * (x - mu) + (theta[then] - theta[now] * ratio) * (clean - mu)
    return x


def run(network, mu, steps=10, solver=None):
    grid = Trailing().grid(PATH, steps)
    table = fold((solver or ResidualBridge()).rows(grid), X0, Unguided())
    answer = lambda x, time, condition: network(x, time)  # noqa: E731
    return execute(table, LAYOUT, answer, [np.zeros(LAYOUT.elements)], {"source": mu}).latent


def test_the_path_is_the_papers():
    theta, sigma = coefficients()
    alpha, found = PATH.at(np.arange(100.0))
    np.testing.assert_allclose(alpha, theta, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found, sigma, rtol=1e-12, atol=1e-9)
    assert (alpha[-1], found[-1]) == (0.0, 0.0)


def test_levels_and_times_invert_each_other():
    times = np.linspace(0.3, 98.7, 40)
    alpha, sigma = PATH.at(times)
    levels = sigma / alpha
    np.testing.assert_allclose(PATH.coordinates(levels), (alpha, sigma), rtol=1e-9)
    np.testing.assert_allclose(PATH.model_time(levels), times, rtol=1e-7)
    np.testing.assert_allclose(PATH.coordinates(np.array([np.inf])), [[0.0], [0.0]], atol=1e-9)
    assert Karras(7.0, 0.1, 10.0).grid(PATH, 5).at_level(1.0).sigma_ve == pytest.approx(1.0)


@pytest.mark.parametrize("steps", [1, 2, 5, 10])
def test_the_sampler_is_the_published_one(steps):
    rng = np.random.default_rng(steps)
    mu = rng.uniform(-1, 1, LAYOUT.elements)
    weights = rng.standard_normal((LAYOUT.elements, LAYOUT.elements)) / 5

    def network(x, time):
        return 1.3 * np.tanh(weights @ x + time / 50)

    found = run(network, mu, steps, Bounded(ResidualBridge(), Clip(-1.0, 1.0)))
    expected = published(network, mu, steps)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("steps", [1, 3, 10, 50])
def test_an_exact_denoiser_is_returned_whatever_the_steps(steps):
    rng = np.random.default_rng(1)
    mu, clean = rng.standard_normal((2, LAYOUT.elements))
    np.testing.assert_allclose(run(lambda x, t: clean, mu, steps), clean, atol=1e-14)


def test_a_step_keeps_the_decomposition_of_the_state():
    """x = mu + Theta (x0 - mu) + Sigma eps goes to the same form with the next Theta and Sigma."""
    rows = ResidualBridge().rows(GRID)
    rng = np.random.default_rng(4)
    basis = rows.basis
    for step in range(1, 9):
        mu, clean, eps = rng.standard_normal(3)
        now, after = GRID[step], GRID[step + 1]
        x = mu + now.alpha * (clean - mu) + now.sigma * eps
        values = x * basis.registers[0] + clean * basis.denoised + mu * basis.external(0)
        found = rows.registers[step + 1, 0] @ values
        assert found == pytest.approx(mu + after.alpha * (clean - mu) + after.sigma * eps, abs=1e-6)


def test_it_starts_from_the_picture_and_draws_nothing():
    table = fold(ResidualBridge().rows(GRID), X0, Unguided())
    assert table.externals == ("source",)
    assert table.draws.sum() == 0
    assert (table.form.registers, table.nfe) == (1, 10)


def test_solvers_that_start_from_noise_are_refused_on_a_bridge():
    for solver in (DDIM(), RES(3), SASolver(3, 4), RESMultistep(1.0), UniPC(), Inverse(EDICT())):
        with pytest.raises(InvalidInput, match=r"starts from a given latent.*ResidualBridge"):
            solver.rows(GRID)
    for kind in SOLVERS.values():
        if kind is not ResidualBridge:
            with pytest.raises(InvalidInput):
                kind().rows(GRID)


def test_a_bridge_refuses_what_it_cannot_be():
    with pytest.raises(InvalidInput, match=r"strength 0\.0 must be finite and above 0"):
        ResidualBridgePath(0.0)
    with pytest.raises(InvalidInput, match="beyond the trained range"):
        PATH.at(np.array([100.0]))
