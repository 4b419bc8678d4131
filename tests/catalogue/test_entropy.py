"""EVODiff beside its released loop, and what that loop does to a network that never changes."""

from itertools import pairwise

import numpy as np
import pytest

from denoisert.runtime import DPMpp2M, EVODiff, Final, Karras, LastStep
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.oracle import Gaussian, execute, follow
from denoisert.runtime.sampling.schedules import EDM
from tests.catalogue.runs import X0, table_of

SHAPE = (3, 16, 16)
LAYOUT = StateLayout((Part("latent", SHAPE),))
RHO_7 = Karras(7.0, 0.002, 80.0, Final.SPACED)
PATH = EDM()


def dot(a, b):
    """Of every channel."""
    return (a * b).sum(axis=(1, 2), keepdims=True)


def share(a, b):
    """Projection of a on b in every channel, within -2 .. 2."""
    return np.clip(dot(a, b) / dot(b, b), -2, 2)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def released(network, levels, x):
    """The demo's loop at alpha = 1 and at most 20 steps, on (C, H, W)."""
    first, last = levels[0], levels[-1]
    x, m_1 = levels[0] * x, None
    m_0 = network(x, levels[0])
    for i, (s, t) in enumerate(pairwise(levels), 1):
        h = 1 / t - 1 / s
        moved, k = t / s * x + t * h * m_0, t * h
        if i == 1:
            x, m_0, m_1 = moved, network(moved, t), m_0
            continue
        if i == len(levels) - 1:
            q = t / s
            r = 1 - 0.5 * np.sqrt(q if q < 0.5 else q - 0.5)
            return (1 - np.sqrt(t * s)) * moved + 0.5 * k * (m_0 - r * m_1)
        before = levels[i - 2]
        rho = np.log(before / s) / np.log(s / t)
        b = np.sqrt((t / s) / (s / before))
        omega = 0.5 * (1 - ((t + last) / (first + last)) ** 2)
        r_1 = (1 - omega) * b + omega * share(m_0, m_1)
        d_1 = m_0 - r_1 * m_1
        r_i = np.clip(sigmoid(np.abs(r_1) / 4) * rho, rho / 4, 1.5 * rho)
        probe = moved + 0.5 * k * d_1 / r_i
        m_t = network(probe, t)
        d_2 = m_t - ((1 - omega) * b + omega * share(m_t, m_0)) * m_0
        p, q = d_1 / (rho * h), rho * d_2 / h
        eta = 0.5 * sigmoid(np.abs(0.5 * share(q + p, q - p)))
        mixed = -eta * d_1 / rho + rho * (1 - eta) * d_2
        star = share(probe - moved - 0.5 * k * mixed / r_i, d_1) / k
        x = moved + 0.5 * k * mixed / sigmoid(np.abs(star) - 0.5)
        m_0, m_1 = m_t, m_0
    raise AssertionError("a run of one step")


def run(solver, steps, network, noise, spacing=RHO_7):
    grid = spacing.grid(PATH, steps)
    answer = lambda x, time, _: network(x.reshape(SHAPE), np.exp(4 * time)).ravel()  # noqa: E731
    table = table_of(solver, grid, X0)
    return execute(table, LAYOUT, answer, [noise.ravel()]).latent.reshape(SHAPE), grid


@pytest.mark.paper(82)
@pytest.mark.parametrize(
    ("spacing", "steps"),
    [(RHO_7, 3), (RHO_7, 6), (RHO_7, 20), (Karras(7.0, 1.0, 40.0, Final.SPACED), 12)],
    ids=["3", "6", "20", "short last step"],
)
def test_it_is_the_released_loop(spacing, steps):
    """Weights of every channel from products of its estimates; a network of no meaning."""
    rng = np.random.default_rng(steps)
    mix = rng.standard_normal((3, 3))
    network = lambda x, level: np.tanh(np.einsum("ij,jhw->ihw", mix, x) / (1 + level))  # noqa: E731
    noise = rng.standard_normal(SHAPE)
    found, grid = run(EVODiff(), steps, network, noise, spacing)
    expected = released(network, grid.sigma, noise)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())
    whole = np.tile(noise[:1], (3, 1, 1))
    alone = run(EVODiff(), steps, lambda x, level: np.tanh(x / (1 + level)), whole)[0]
    np.testing.assert_allclose(alone[0], alone[2], atol=1e-12)  # a channel hears itself alone


@pytest.mark.paper(82)
def test_each_step_asks_once():
    for steps in (1, 2, 8):
        grid = RHO_7.grid(PATH, steps)
        assert table_of(EVODiff(), grid, X0).nfe == steps
    assert table_of(EVODiff(LastStep.FULL), RHO_7.grid(PATH, 8), X0).nfe == 9


@pytest.mark.paper(82)
def test_a_network_that_never_changes_is_not_returned_as_2m_returns_it():
    """Why it is a solver for parity and no default: its order is that of its last step."""
    clean = np.random.default_rng(1).standard_normal(SHAPE)
    noise = np.random.default_rng(2).standard_normal(SHAPE)
    for steps in (6, 10, 20):
        found, grid = run(EVODiff(), steps, lambda x, level: clean, noise)
        kept = clean + grid.sigma[-1] * (noise - clean / grid.sigma[0])
        plain = run(DPMpp2M(), steps, lambda x, level: clean, noise)[0]
        assert np.sqrt(np.mean((found - kept) ** 2)) > 0.01
        np.testing.assert_allclose(plain, kept, atol=1e-12)


@pytest.mark.paper(82)
def test_a_last_step_like_the_others_mends_most_of_it():
    data, noise = Gaussian(0.0, 0.25), np.random.default_rng(3).standard_normal(SHAPE)
    network = lambda x, level: data.estimates(x, 1.0, level)[0]  # noqa: E731
    errors = {}
    for solver in (EVODiff(), EVODiff(LastStep.FULL), DPMpp2M()):
        found, grid = run(solver, 20, network, noise)
        truth = follow(data, grid.sigma[0] * noise, grid[0], grid[20])
        errors[solver] = np.sqrt(np.mean((found - truth) ** 2))
    np.testing.assert_allclose(list(errors.values()), [0.0302, 0.0141, 0.0220], rtol=0.05)
