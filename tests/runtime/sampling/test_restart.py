"""Restart: where it goes, what it draws, what it makes of errors."""

import json

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.names import SOLVERS
from denoisert.runtime.sampling.notation import from_dict, parse, to_dict
from denoisert.runtime.sampling.oracle import Gaussian, between_levels, propagate, weak_errors
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import EDM, Final, Flow, Karras, Linear, Trailing
from denoisert.runtime.sampling.solvers import Restart, RungeKutta, Scheme
from tests.runtime.sampling.multistep_trials import (
    ENDED,
    VP,
    assert_alike,
    assert_invariant,
    registers,
    sample,
)

X0 = Parametrisation.X0
GAUSSIAN = Gaussian(0.7, 0.25)
PATH = EDM(0.01, 80.0)
ONCE = ((0.3, 2.0, 2, 5),)
TWICE = ((0.3, 2.0, 2, 3), (1.0, 6.0, 3, 2))


def test_without_intervals_it_is_the_table():
    for table in (Scheme.HEUN, Scheme.RK4):
        found = Restart((), table).rows(VP).registers
        np.testing.assert_array_equal(found, RungeKutta(table).rows(VP).registers)


@pytest.mark.parametrize("gamma", [0.0, 0.1])
def test_levels_go_up_and_down_as_asked(gamma):
    """Behind the grid's point nearest to `low`, K times from `high` by Karras' spacing."""
    grid = Karras(7.0, 0.1, 20.0, Final.SPACED).grid(PATH, 9)
    levels = grid.sigma.tolist()
    asked = [point.sigma_ve for point in Restart(TWICE, ((1.0,),), 3.0, gamma).rows(grid).points]
    expected = []
    for step in range(9):
        expected.append(levels[step])
        for low, high, rounds, count in TWICE:
            nearest = min(levels[1:], key=lambda level, low=low: abs(level - low))
            if nearest == levels[step + 1]:
                roots = np.linspace(high ** (1 / 3), nearest ** (1 / 3), count + 1)
                expected += (list(roots[:-1] ** 3 * (1.0 + gamma))) * rounds
    np.testing.assert_allclose(asked, expected, rtol=1e-12)


def test_noise_leads_from_level_to_level():
    """Variance per unit of clean latent grows by exactly high^2 - low^2, gamma included."""
    for gamma in (0.0, 0.1):
        rows = Restart(ONCE, Scheme.HEUN, gamma=gamma, s_noise=1.1).rows(VP)
        basis = rows.basis
        gains = rows.registers[1:, 0] @ basis.draws[0]
        levels = [point.sigma_ve for point in rows.points]
        drawn = np.flatnonzero(gains)
        nearest = min(VP.sigma / VP.alpha, key=lambda level: abs(level - 0.3))
        assert len(drawn) == (2 if gamma == 0.0 else 2 * 5)
        for index in drawn:
            high = levels[index + 1]
            low = nearest if np.isclose(high, 2.0 * (1.0 + gamma)) else high / (1.0 + gamma)
            size = 1.1 * rows.points[index + 1].alpha * np.sqrt(high**2 - low**2)
            np.testing.assert_allclose(gains[index], size, rtol=1e-9)
        assert rows.draws.sum() == 1 + len(drawn)


@pytest.mark.parametrize("gamma", [0.0, 0.05])
def test_moments_are_right_when_intervals_are_refined(gamma):
    """Order of the table in N and n together; noise costs none."""
    errors = []
    for count in (24, 48, 96):
        solver = Restart(((0.3, 2.0, 2, count),), Scheme.HEUN, gamma=gamma / count)
        found = weak_errors(
            solver, between_levels(Linear(), 10.0, 0.1), GAUSSIAN, (count, 2 * count)
        )
        errors.append(found.errors[0])
    slopes = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(slopes, solver.order, atol=0.25)


def test_a_restart_forgets_errors_made_above():
    """A start of too much variance: each round trip leaves less of it."""
    grid = between_levels(PATH, 10.0, 0.1)(96)
    wrong = Grid(grid.alpha, grid.sigma, grid.model_time, 12.0, path=PATH)
    left = []
    for rounds in (0, 1, 3):
        intervals = ((0.3, 5.0, rounds, 40),) if rounds else ()
        table = fold(Restart(intervals, Scheme.RK4).rows(wrong), X0, Unguided())
        found = propagate(table, [Gaussian(0.0, 0.25)], X0)
        _, variance = Gaussian(0.0, 0.25).moments(grid.alpha[-1], grid.sigma[-1])
        left.append(abs(found.covariance[0, 0] - variance))
    assert left[0] > 20 * left[1] > 20 * left[2]


def test_evaluations_registers_and_ends():
    solver = Restart(TWICE)
    assert registers(solver, 40) == 2
    assert solver.evaluations_per_step == 2 * (1 + 6 + 6)
    for grid, single in ((VP, 0), (ENDED, 1)):
        rows = solver.rows(grid)
        assert rows.stages == 2 * (grid.steps + 6 + 6) - single
        assert rows.steps[-1] == grid.steps
        assert np.all(np.diff(rows.steps) >= 0)
        assert np.isfinite(sample(solver, grid)).all()
    steps = Restart(ONCE).rows(VP).steps
    inside = np.flatnonzero(np.bincount(steps) > 2 * 1)
    assert len(inside) == 1


def test_a_restart_at_the_last_point_ends_there():
    """The last point has noise, so it is a place to go back from; the run ends where it began."""
    grid = Trailing(Final.LAST).grid(Linear(), 10)
    rows = Restart(((1e-3, 0.5, 2, 3),)).rows(grid)
    assert rows.steps.tolist()[-12:] == [10] * 12
    assert rows.stages == 20 + 12


def test_flows_and_starts_without_signal():
    grid = Trailing().grid(Flow(shift=2.0), 20)
    solver = Restart(((0.3, 2.0, 1, 4),))
    assert solver.rows(grid).stages == 2 * 20 - 2 + 8
    assert np.isfinite(sample(solver, grid)).all()


def test_every_parametrisation_gives_the_same_sample():
    assert_invariant(Restart(ONCE))
    assert_invariant(Restart(ONCE, Scheme.MIDPOINT, gamma=0.1))


@pytest.mark.parametrize("steps", [1, 2])
def test_grids_too_short_to_restart_are_refused(steps):
    grid = Trailing().grid(Linear(), steps)
    with pytest.raises(InvalidInput, match=r"Ask for more steps"):
        Restart().rows(grid)


def test_default_interval_fits_usual_grids():
    for steps in (3, 10, 20, 50):
        rows = Restart().rows(Trailing().grid(Linear(), steps))
        assert rows.stages == 2 * steps - 1 + 2 * 9


@pytest.mark.parametrize(
    "build",
    [
        lambda: Restart(((2.0, 0.1, 1, 9),)),
        lambda: Restart(((0.1, 2.0, 0, 9),)),
        lambda: Restart(((0.1, 2.0, 1, 0),)),
        lambda: Restart(((0.1, float("inf"), 1, 9),)),
        lambda: Restart(((0.1, 2.0, 10**6, 9),)),
        lambda: Restart(rho=0.0),
        lambda: Restart(gamma=-0.1),
        lambda: Restart(s_noise=float("nan")),
        lambda: Restart(table=((0.5, 0.5),)),
    ],
)
def test_values_outside_their_range_are_refused(build):
    with pytest.raises(InvalidInput):
        build()


def test_a_grid_without_a_path_is_refused():
    with pytest.raises(InvalidInput, match="without a path"):
        Restart(ONCE).rows(Grid(VP.alpha, VP.sigma, VP.model_time, 1.0))


def test_intervals_have_names():
    solver = Restart(TWICE, ((0.5,), (0.0, 1.0)), 5.0, 0.02)
    assert from_dict(json.loads(json.dumps(to_dict(solver)))) == solver
    read = parse(SOLVERS, "restart(intervals=[[0.3, 2, 2, 5]], table='rk4')")
    assert read == Restart(ONCE, Scheme.RK4)
    assert_alike(read.rows(VP).registers, Restart(ONCE, Scheme.RK4).rows(VP).registers)
