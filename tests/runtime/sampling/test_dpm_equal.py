"""DPM solvers that are one update under two names, and the variance of those with noise."""

import numpy as np
import pytest

from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.oracle import Gaussian, propagate, solve
from denoisert.runtime.sampling.schedules import Flow, Linear, ScaledLinear, Trailing
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DPMFast,
    DPMpp2M,
    DPMpp2MSDE,
    DPMpp2S,
    DPMpp2SAncestral,
    DPMpp3M,
    DPMpp3MSDE,
    DPMpp3S,
    DPMppBlocks,
    DPMppBlocksSDE,
    DPMppSDE,
    DPMSolver2,
    DPMSolver2M,
    DPMSolver3,
    DPMSolverBlocks,
    SDEDPMSolver1,
    SDEDPMSolver2M,
)
from tests.runtime.sampling.test_dpm import EVEN, FULL, HEUN, KEPT, X0, sample, table_of
from tests.runtime.sampling.trials import DATA


def same(one, other, grid, tolerance=1e-13):
    found, expected = sample(one, grid), sample(other, grid)
    return np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def visiting(levels):
    """A grid at noise levels sigma / alpha of a variance preserving path; 0 is clean data."""
    level = np.array(levels)
    alpha = 1.0 / np.hypot(1.0, level)
    return Grid(alpha, level * alpha, level, 1.0, path=Linear())


EQUAL = [
    (DPMpp2MSDE(0.0), DPMpp2M(0)),
    (DPMpp2MSDE(0.0, form=HEUN, lower_order_below=15), DPMpp2M(form=HEUN)),
    (DPMpp3MSDE(0.0), DPMpp3M(0, HEUN)),
    (SDEDPMSolver1(0.0), DDIM()),
    (SDEDPMSolver2M(0.0), DPMSolver2M(0)),
    (DPMpp2SAncestral(0.0), DPMpp2S()),
    (DPMppSDE(0.0, r=0.3), DPMpp2S(0.3)),
    (DPMppBlocksSDE(3, eta=0.0), DPMppBlocks(3)),
    (DPMppBlocks(1), DDIM()),
    (DPMSolverBlocks(1), DDIM()),
    (DPMppBlocksSDE(1), DDIM(1.0)),
]


@pytest.mark.parametrize(("one", "other"), EQUAL, ids=str)
def test_solvers_that_are_one_update(one, other):
    for grid in (EVEN.grid(Linear(), 8), KEPT.grid(Flow(), 7), Trailing().grid(Flow(), 6)):
        assert same(one, other, grid)


@pytest.mark.parametrize(
    ("blocks", "single"),
    [
        (DPMppBlocks(2, ending=FULL), DPMpp2S()),
        (DPMppBlocks(2, HEUN, FULL), DPMpp2S(form=HEUN)),
        (DPMppBlocks(3, HEUN, FULL), DPMpp3S(form=HEUN)),
        (DPMSolverBlocks(2, ending=FULL), DPMSolver2()),
        (DPMSolverBlocks(3, HEUN, FULL), DPMSolver3(form=HEUN)),
    ],
    ids=str,
)
def test_blocks_even_in_log_snr_are_single_steps_of_the_coarse_grid(blocks, single):
    levels = np.geomspace(12.0, 0.05, 7)
    fine, coarse = visiting(levels), visiting(levels[:: blocks.size])
    np.testing.assert_allclose(sample(blocks, fine), sample(single, coarse), rtol=1e-12, atol=1e-13)


def test_fast_is_its_single_steps():
    """4 evaluations to the last noisy level are orders 3 and 1; then the clean estimate."""
    grid = visiting([12.0, 5.0, 3.0, 0.7, 0.05, 0.0])
    levels = np.geomspace(12.0, 0.05, 3)
    start = np.random.default_rng(1).standard_normal((60, 32))[0]
    first = table_of(DPMSolver3(), visiting(levels[:2]))
    x = solve(first, [DATA], X0, [start]).latent
    rest = table_of(DDIM(), visiting([*levels[1:], 0.0]))
    expected = solve(rest, [DATA], X0, [x]).latent
    np.testing.assert_allclose(sample(DPMFast(), grid), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "solver",
    [
        *(DPMpp2MSDE(eta) for eta in (0.3, 1.0, 2.0)),
        DPMpp2MSDE(form=HEUN),
        DPMpp3MSDE(0.7),
        DPMppBlocksSDE(2),
        DPMppBlocksSDE(3, HEUN, eta=0.4),
        DPMpp2SAncestral(),
        DPMpp2SAncestral(0.4),
        DPMppSDE(),
        DPMppSDE(0.6, r=0.35),
        DPMFast(1.0),
        DPMFast(0.5),
    ],
    ids=str,
)
def test_the_variance_is_exact_where_the_estimate_is(solver):
    """Data of one point: D is that point at all times, so every noise gain shows in the end."""
    data = Gaussian(0.7, 0.0)
    for grid in (KEPT.grid(ScaledLinear(), 7), KEPT.grid(Flow(), 6)):
        grid = grid.tail(1.0)
        found = propagate(table_of(solver, grid), [data], X0, {"source": [data]})
        np.testing.assert_allclose(found.mean[0], 0.7 * grid.alpha[-1], rtol=1e-12)
        np.testing.assert_allclose(found.covariance[0, 0], grid.sigma[-1] ** 2, rtol=1e-11)


@pytest.mark.parametrize("kind", [DPMpp2MSDE, DPMppSDE, DPMpp2SAncestral, DPMFast, SDEDPMSolver2M])
def test_noise_scale_scales_the_noise_alone(kind):
    grid = KEPT.grid(Linear(), 6)
    one, two = kind(eta=0.8).rows(grid), kind(eta=0.8, noise_scale=2.0).rows(grid)
    draw = one.basis.draws[0].argmax()
    assert one.registers[1:, :, draw].any()
    np.testing.assert_array_equal(two.registers[1:, :, draw], 2.0 * one.registers[1:, :, draw])
    rest = np.arange(one.basis.width) != draw
    np.testing.assert_array_equal(two.registers[..., rest], one.registers[..., rest])


def test_the_two_noises_of_dpmpp_sde_are_one_brownian_motion():
    """Their shares of the step's noise are as the times that pass, and its gain is kept."""
    grid = KEPT.grid(Linear(), 3)
    rows = DPMppSDE(0.9, r=0.4).rows(grid)
    draw = rows.basis.draws[0].argmax()
    high, low = grid[0].sigma_ve, grid[1].sigma_ve
    middle = high**0.6 * low**0.4
    shared, later = rows.registers[1, 1, draw], rows.registers[2, 0, draw]
    np.testing.assert_allclose((shared / later) ** 2, (high - middle) / (middle - low), rtol=1e-12)
    up = 0.9 * grid[1].sigma * np.sqrt(1 - (low / high) ** 2)
    np.testing.assert_allclose(np.hypot(shared, later), up, rtol=1e-12)
