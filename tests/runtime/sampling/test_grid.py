"""Points, grids and their tails."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.schedules import Karras, Linear, Trailing
from tests.runtime.sampling.programs import angles


def flow(steps):
    t = np.linspace(1, 0, steps + 1)
    return Grid(1 - t, t, t, 1.0)


def test_levels_of_a_point():
    point = Point(0.6, 0.8, 10.0)
    assert point.sigma_ve == pytest.approx(4 / 3, rel=1e-15)
    assert point.half_logsnr == pytest.approx(np.log(0.75), rel=1e-15)
    assert point.input_scale == 1.0
    assert Point(0.0, 1.0, 0.0).sigma_ve == np.inf
    assert Point(0.0, 1.0, 0.0).half_logsnr == -np.inf
    assert Point(1.0, 0.0, 0.0).half_logsnr == np.inf


def test_a_grid_gives_its_points():
    grid = angles(5)
    assert grid.steps == 5
    assert grid[2] == Point(grid.alpha[2], grid.sigma[2], grid.model_time[2])
    assert grid[5].sigma == 0


def test_only_flow_paths_are_linear():
    assert flow(3).is_linear
    assert not angles(3).is_linear


@pytest.mark.parametrize("strength", [0.01, 0.5, 0.75, 1.0])
def test_a_tail_keeps_the_last_points_and_starts_from_the_source(strength):
    grid = angles(8)
    tail = grid.tail(strength)
    assert tail.steps == max(1, round(8 * strength))
    np.testing.assert_array_equal(tail.alpha, grid.alpha[-tail.steps - 1 :])
    np.testing.assert_array_equal(tail.model_time, grid.model_time[-tail.steps - 1 :])
    assert (tail.noise_gain, tail.source_gain) == (tail.sigma[0], tail.alpha[0])


def test_a_whole_flow_tail_has_no_source():
    assert flow(4).tail(1.0).source_gain == 0.0


@pytest.mark.parametrize("strength", [0.0, -0.5, 1.5, np.nan])
def test_a_strength_outside_its_range_is_refused(strength):
    with pytest.raises(InvalidInput, match="strength"):
        angles(8).tail(strength)


@pytest.mark.parametrize(
    ("alpha", "sigma"),
    [
        ([1.0], [0.0]),
        ([0.6, 0.6], [0.8, 0.8]),
        ([0.8, 0.6], [0.6, 0.8]),
        ([0.5, np.nan], [1, 0]),
        ([np.nan, 1.0], [np.nan, 0.0]),
        ([0.0, 0.0, 1.0], [1.0, 1.0, 0.0]),
        ([0.5, 1.0], [np.inf, 0.0]),
    ],
)
def test_a_grid_whose_noise_does_not_fall_is_refused(alpha, sigma):
    with pytest.raises(InvalidInput, match="falling noise level"):
        Grid(np.array(alpha), np.array(sigma), np.zeros(len(alpha)), 1.0)


def test_a_level_between_the_points_is_where_the_schedule_has_it():
    grid = Karras(7.0, 0.05, 20.0).grid(Linear(), 6)
    for point in (grid[0], grid[3]):
        found = grid.at_level(point.sigma_ve)
        np.testing.assert_allclose(found[:3], point[:3], rtol=1e-13)
    between = grid.at_level(1.7)
    assert between.sigma_ve == pytest.approx(1.7, rel=1e-14)
    neighbours = [i for i in range(6) if grid[i].sigma_ve > 1.7 > grid[i + 1].sigma_ve]
    before, after = grid[neighbours[0]], grid[neighbours[0] + 1]
    assert before.model_time > between.model_time > after.model_time
    assert grid.tail(0.5).at_level(1.7) == between


@pytest.mark.parametrize("level", [0.0, np.inf, -1.0])
def test_no_path_leads_to_a_level_without_noise_or_without_signal(level):
    grid = Karras(7.0, 0.05, 20.0).grid(Linear(), 6)
    with pytest.raises(InvalidInput, match="no noise level between"):
        grid.at_level(level)
    with pytest.raises(InvalidInput, match="a grid without a path"):
        angles(3).at_level(1.0)


def test_a_time_between_the_points_is_where_the_schedule_has_it():
    grid = Trailing().grid(Linear(), 10)
    assert grid.at_time(grid[4].model_time) == grid[4][:2]
    alpha, sigma = grid.at_time(grid[5].model_time + 1.5)
    assert grid[5].sigma_ve < sigma / alpha < grid[4].sigma_ve
    with pytest.raises(InvalidInput, match="beyond the trained range"):
        grid.at_time(1000.0)
    with pytest.raises(InvalidInput, match="model time 3, between those of a grid without a path"):
        angles(3).at_time(3.0)
