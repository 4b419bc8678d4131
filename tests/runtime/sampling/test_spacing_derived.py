"""Spacings made from other spacings, and the uniform one."""

import dataclasses
import math

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.schedules import (
    EDM,
    Begin,
    BetaQuantile,
    Cosine,
    DropLast,
    Exponential,
    Final,
    Flow,
    Karras,
    Leading,
    Linear,
    Linspace,
    Measure,
    ResidualBridgePath,
    Rounded,
    ScaledLinear,
    SGMUniform,
    Trailing,
    Truncated,
)
from denoisert.runtime.sampling.solvers import DDIM, ResidualBridge
from tests.oracles import float64
from tests.oracles.pair import SCHEDULES

every_vp = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda item: type(item).__name__)


def levels(grid):
    return grid.sigma / grid.alpha


@every_vp
@pytest.mark.parametrize("steps", [1, 5, 20, 37])
@pytest.mark.parametrize(
    ("name", "spacing"), [("linspace", Linspace()), ("leading", Leading(offset=1))]
)
@pytest.mark.parametrize("final", [Final.ZERO, Final.LAST])
def test_one_point_fewer_is_diffusers_dpm_solver(schedule, steps, name, spacing, final):
    scheduler = float64.module("dpmsolver_multistep").DPMSolverMultistepScheduler(
        **SCHEDULES[schedule],
        timestep_spacing=name,
        steps_offset=1,
        final_sigmas_type={"zero": "zero", "last": "sigma_min"}[final.value],
    )
    scheduler.set_timesteps(steps)
    grid = DropLast(spacing, final).grid(schedule, steps)
    np.testing.assert_array_equal(grid.model_time[:-1], scheduler.timesteps.numpy())
    rtol = 1e-9 if isinstance(schedule, Cosine) else 1e-11
    np.testing.assert_allclose(levels(grid), scheduler.sigmas.numpy(), rtol=rtol)
    assert grid.noise_gain == 1.0


@pytest.mark.parametrize("steps", [3, 10, 17])
def test_comfyuis_beta(steps):
    scipy_stats = pytest.importorskip("scipy.stats")
    shares = 1 - np.linspace(0, 1, steps, endpoint=False)
    times = np.rint(scipy_stats.beta.ppf(shares, 0.6, 0.6) * 999)
    grid = DropLast(BetaQuantile(measure=Measure.TIME)).grid(ScaledLinear(), steps)
    np.testing.assert_array_equal(grid.model_time[:-1], times)


@every_vp
@pytest.mark.parametrize("steps", [1, 7, 10, 27])
def test_sgm_uniform_is_that_of_comfyui(schedule, steps):
    log_levels = np.log(schedule.levels())
    times = np.linspace(999, 0, steps + 1)[:-1]
    low, high = np.floor(times).astype(int), np.ceil(times).astype(int)
    share = times - low
    expected = np.exp((1 - share) * log_levels[low] + share * log_levels[high])
    grid = SGMUniform().grid(schedule, steps)
    np.testing.assert_allclose(grid.model_time[:-1], times, rtol=1e-13)
    np.testing.assert_allclose(levels(grid), [*expected, 0.0], rtol=1e-11)
    # The network's time and the level agree, which they do not under linear interpolation.
    np.testing.assert_allclose(schedule.model_time(levels(grid)[:-1]), times, atol=1e-9)


def test_sgm_uniform_on_a_flow_is_trailing():
    for steps in (1, 4, 9):
        found = SGMUniform().grid(Flow(3.0), steps)
        np.testing.assert_array_equal(found.sigma, Trailing().grid(Flow(3.0), steps).sigma)
    with pytest.raises(InvalidInput, match="1 to 1000"):
        SGMUniform().grid(Linear(), 0)


def test_rounded_times_are_also_told_between_the_points():
    grid, exact = Rounded(Exponential()).grid(Linear(), 9), Exponential().grid(Linear(), 9)
    np.testing.assert_array_equal(grid.model_time, np.round(exact.model_time))
    assert grid.at_level(0.7).model_time == round(exact.at_level(0.7).model_time)
    assert grid.at_level(0.7).alpha == exact.at_level(0.7).alpha
    bare = dataclasses.replace(exact, path=None)

    class Fixed:
        def grid(self, schedule, steps):
            return bare

    assert Rounded(Fixed()).grid(Linear(), 9).path is None


# Truncated


@pytest.mark.parametrize("level", [0.4, 3.0, 14.0])
def test_a_truncated_run_starts_at_its_level_and_keeps_what_lies_below(level):
    whole = Karras().grid(ScaledLinear(), 20)
    grid = Truncated(Karras(), level).grid(ScaledLinear(), 20)
    assert levels(grid)[0] == pytest.approx(level, rel=1e-14)
    below = levels(whole) < level
    np.testing.assert_array_equal(grid.sigma[1:], whole.sigma[below])
    np.testing.assert_array_equal(grid.model_time[1:], whole.model_time[below])
    assert grid.model_time[0] == ScaledLinear().model_time(np.array([level]))[0]
    assert (grid.noise_gain, grid.source_gain) == (0.0, 1.0)
    noise = Truncated(Karras(), level, Begin.NOISE).grid(ScaledLinear(), 20)
    assert (noise.noise_gain, noise.source_gain) == (pytest.approx(1.0), 0.0)
    assert Truncated(Exponential(), 2.0, Begin.NOISE).grid(EDM(), 20).noise_gain == pytest.approx(
        math.hypot(1.0, 2.0)
    )


@pytest.mark.parametrize("index", [0, 1, 5, 18])
@pytest.mark.parametrize("nearly", [0.0, 1e-13, -1e-13])
def test_a_level_of_the_spacing_itself_is_that_point_whatever_rounding_did(index, nearly):
    """Karras(sigma_max=20.0) has its first point at 19.999999999999993."""
    spacing = Karras(sigma_min=0.02, sigma_max=20.0)
    whole = spacing.grid(EDM(), 20)
    level = (20.0 if index == 0 else whole[index].sigma_ve) * (1.0 + nearly)
    grid = Truncated(spacing, level).grid(EDM(), 20)
    assert grid.steps == 20 - index
    np.testing.assert_allclose(levels(grid), levels(whole)[index:], rtol=1e-12)
    np.testing.assert_array_equal(grid.sigma[1:], whole.sigma[index + 1 :])


@pytest.mark.parametrize("level", [0.0, -1.0, math.inf, math.nan])
def test_starts_that_are_no_level_are_refused(level):
    with pytest.raises(InvalidInput, match="above 0"):
        Truncated(Karras(), level)


def test_a_start_above_the_first_point_is_refused():
    with pytest.raises(InvalidInput, match="starts above the first point"):
        Truncated(Karras(), 15.0).grid(ScaledLinear(), 20)


@pytest.mark.parametrize("final", [Final.SPACED, Final.LAST])
def test_a_start_where_the_run_has_ended_is_refused(final):
    whole = Exponential(0.1, 10.0, final).grid(ScaledLinear(), 4)
    for level in (whole[4].sigma_ve, 0.5 * whole[4].sigma_ve):
        with pytest.raises(InvalidInput, match="starts where the run has ended"):
            Truncated(Exponential(0.1, 10.0, final), level).grid(ScaledLinear(), 4)


def test_sgm_uniform_where_the_first_point_has_neither_signal_nor_noise():
    grid = SGMUniform().grid(ResidualBridgePath(), 7)
    assert (grid.alpha[0], grid.sigma[0]) == (0.0, 0.0)
    assert np.isfinite(ResidualBridge().rows(grid).registers).all()


def hand_loop(grid, mean, variance):
    """DDIM on Gaussian data N(m, v): mean and variance of the last state, step by step."""
    m, v = 0.4, 0.09
    for i in range(grid.steps):
        here, there = grid[i], grid[i + 1]
        total = here.alpha**2 * v + here.sigma**2
        keep = (there.alpha * here.alpha * v + there.sigma * here.sigma) / total
        mean = there.alpha * m + keep * (mean - here.alpha * m)
        variance *= keep**2
    return mean, variance


def test_the_exact_start_stays_exact_and_plain_noise_is_biased_more_the_earlier_it_starts():
    """Paper 17: from the true p_T' the error does not depend on T'; from noise it grows."""
    errors = {}
    for level in (14.0, 3.0, 1.0, 0.3):
        for begin in Begin:
            grid = Truncated(Karras(), level, begin).grid(ScaledLinear(), 60)
            first = grid[0]
            mean, variance = 0.0, grid.noise_gain**2
            if begin is Begin.SOURCE:
                mean, variance = 0.4 * first.alpha, 0.09 * first.alpha**2 + first.sigma**2
            mean, variance = hand_loop(grid, mean, variance)
            errors[level, begin] = abs(mean - 0.4) + abs(math.sqrt(variance) - 0.3)
    exact = [errors[level, Begin.SOURCE] for level in (14.0, 3.0, 1.0, 0.3)]
    noisy = [errors[level, Begin.NOISE] for level in (14.0, 3.0, 1.0, 0.3)]
    assert max(exact) < 0.02
    assert noisy == sorted(noisy)
    assert noisy[-1] > 0.4 > 0.05 > noisy[0]


def test_truncated_levels_agree_with_the_schedules_start():
    alpha, sigma = Linear().at(np.array([300.0]))
    grid = Truncated(Trailing(), float(sigma[0] / alpha[0])).grid(Linear(), 50)
    # Levels are linear in time between whole times and their times are not: 300 within rounding.
    assert grid.model_time[0] == pytest.approx(300.0, abs=1e-9)
    assert grid.steps == 16
    assert DDIM().rows(grid).points[0].model_time == grid.model_time[0]
