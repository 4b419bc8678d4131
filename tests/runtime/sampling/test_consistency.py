"""Jumps to the clean latent and back: what a step leaves, and what is refused."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import Gaussian, propagate
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import (
    EDM,
    Final,
    Flow,
    Karras,
    Linear,
    Rounded,
    SharedTimes,
    Timesteps,
    Trailing,
)
from denoisert.runtime.sampling.solvers import DDIM, LCM, TCD, ConsistencyMultistep
from tests.runtime.sampling.programs import angles

EPS, V = Parametrisation.EPS, Parametrisation.V
TIMES = (999.0, 759.0, 499.0, 259.0)


def moments(rows, data, steps=None):
    """Mean and variance of what a table makes of Gaussian data."""
    found = propagate(fold(rows, V, Unguided()), [data], V)
    return float(found.mean[0]), float(found.covariance[0, 0])


def estimate_moments(data, point, mean, variance):
    """Of D = mean + slope (x - alpha mean), x of the given moments."""
    slope = point.alpha * data.variance / (point.alpha**2 * data.variance + point.sigma**2)
    return data.mean + slope * (mean - point.alpha * data.mean), slope**2 * variance


@pytest.mark.parametrize("solver", [ConsistencyMultistep(), LCM(1e9)], ids=str)
def test_every_step_leaves_the_moments_of_the_jump_noised_again(solver):
    """alpha_s^2 Var(y) + sigma_s^2, step by step; LCM with c_skip = 0 is the same."""
    data, grid = Gaussian(0.7, 0.3), Timesteps(TIMES).grid(Linear(), 4)
    mean, variance = 0.0, 1.0
    for step in range(4):
        now, after = grid[step], grid[step + 1]
        mean, variance = estimate_moments(data, now, mean, variance)
        mean, variance = after.alpha * mean, after.alpha**2 * variance + after.sigma**2
    np.testing.assert_allclose(moments(solver.rows(grid), data), (mean, variance), rtol=1e-12)


def test_lcm_mixes_the_state_in_by_its_boundary_condition():
    grid = Timesteps((19.0, 3.0)).grid(Linear(), 2)
    rows = LCM(0.05).rows(grid)
    u = 0.05 * np.array([19.0, 3.0])
    skip, out = 0.25 / (u**2 + 0.25), u / np.sqrt(u**2 + 0.25)
    np.testing.assert_allclose(rows.registers[1:, 0, 0], [grid.alpha[1] * skip[0], skip[1]])
    denoised = rows.basis.denoised.argmax()
    np.testing.assert_allclose(
        rows.registers[1:, 0, denoised], [grid.alpha[1] * out[0], out[1]], rtol=1e-14
    )


def test_tcd_without_noise_is_ddim_and_with_all_of_it_noises_from_time_0():
    grid = Timesteps(TIMES, Final.LAST).grid(Linear(), 4)
    np.testing.assert_allclose(
        TCD(0.0).rows(grid).registers, DDIM().rows(grid).registers, rtol=1e-13, atol=1e-15
    )
    rows, (alpha, sigma) = TCD(1.0).rows(grid), Linear().at(np.array([0.0]))
    basis, after = rows.basis, grid[1]
    ratio = after.alpha / alpha[0]
    spread = np.sqrt(after.sigma**2 - (ratio * sigma[0]) ** 2)
    expected = ratio * (alpha[0] * basis.denoised + sigma[0] * basis.noise)
    np.testing.assert_allclose(rows.registers[1, 0], expected + spread * basis.draws[0], rtol=1e-12)
    assert rows.draws.tolist() == [1, 1, 1, 1, 0]


GRIDS = {
    "whole times": Timesteps(TIMES, Final.LAST).grid(Linear(), 4),
    "levels": Karras().grid(Linear(), 4),
    "rounded": Rounded(Karras()).grid(Linear(), 4),
    "shared": Timesteps((800.0, 500.0, 95.0, 30.0)).grid(SharedTimes(), 4),
    "flow": Trailing().grid(Flow(), 4),
}


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("name", GRIDS)
def test_a_tcd_step_keeps_the_noise_level_of_the_grid(name, gamma):
    """With E of variance 1 the noise of x_s is sigma_s, whatever share is noised again."""
    grid = GRIDS[name]
    rows = TCD(gamma).rows(grid)
    basis = rows.basis
    columns = [int(unit.argmax()) for unit in (basis.noise, basis.draws[0])]
    noise = np.hypot(*(rows.registers[1:4, 0, column] for column in columns))
    np.testing.assert_allclose(noise, grid.sigma[1:4], rtol=1e-12)
    np.testing.assert_allclose(
        rows.registers[1:4, 0, int(basis.denoised.argmax())], grid.alpha[1:4], rtol=1e-12
    )


def test_tcd_takes_a_share_of_the_time_that_is_rounded_among_whole_times_alone():
    for grid, time in ((GRIDS["flow"], 0.7 * 0.75), (GRIDS["whole times"], np.floor(0.7 * 759))):
        rows = TCD(0.3).rows(grid)
        (alpha, sigma), basis, after = grid.at_time(float(time)), rows.basis, grid[1]
        expected = after.alpha / alpha * sigma
        assert rows.registers[1, 0] @ basis.noise == pytest.approx(expected, rel=1e-12)


def test_tcd_refuses_times_that_do_not_fall_to_the_data():
    with pytest.raises(InvalidInput, match="takes a share of model times"):
        TCD(0.5).rows(Karras().grid(EDM(), 4))


def test_one_evaluation_a_step_one_register_and_no_noise_at_the_end():
    grid = Timesteps(TIMES).grid(Linear(), 4)
    for solver in (LCM(), TCD(), ConsistencyMultistep(), ConsistencyMultistep(0.002)):
        table = fold(solver.rows(grid), EPS, Unguided())
        assert (table.form.registers, table.nfe) == (1, 4)
        assert table.draws.tolist() == [1, 1, 1, 1, 0]
    one = fold(LCM().rows(Timesteps((999.0,)).grid(Linear(), 1)), EPS, Unguided())
    assert one.draws.tolist() == [1, 0]


def test_below_the_least_level_nothing_is_noised():
    grid = Karras(7.0, 0.5, 80.0).grid(Linear(), 5)
    draw = int(ConsistencyMultistep().rows(grid).basis.draws[0].argmax())
    gains = ConsistencyMultistep(2.0).rows(grid).registers[1:, 0, draw]
    levels = np.array([grid[step].sigma_ve for step in range(1, 6)])
    expected = grid.alpha[1:] * np.sqrt(np.maximum(0.0, levels**2 - 4.0))
    np.testing.assert_allclose(gains, expected, rtol=1e-12)
    assert 0 < np.count_nonzero(expected) < 5


def test_pure_noise_is_an_ordinary_start():
    grid = Trailing().grid(Flow(), 4)
    for solver in (ConsistencyMultistep(), LCM()):
        assert np.isfinite(fold(solver.rows(grid), V, Unguided()).matrix).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LCM(0.0), "timestep_scaling 0.0 must be above 0"),
        (lambda: TCD(1.2), "gamma 1.2 is outside 0"),
        (lambda: ConsistencyMultistep(-1.0), "least -1.0 must be a noise level"),
        (lambda: TCD().rows(angles(3)), "a grid without a path"),
    ],
)
def test_what_makes_no_sense_is_refused(build, message):
    with pytest.raises(InvalidInput, match=message):
        build()
