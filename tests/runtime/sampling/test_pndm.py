"""PLMS and PNDM: warm-up, order, registers, limits."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import between_levels, strong_errors
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
from denoisert.runtime.sampling.solvers import DDIM, IPNDM, PLMS, PNDM, Heun
from tests.runtime.sampling.multistep_trials import (
    ENDED,
    NOISE,
    STEPS,
    VP,
    assert_alike,
    assert_invariant,
    registers,
    sample,
)
from tests.runtime.sampling.trials import DATA

BOTH = (PLMS(), PNDM())
FLOW = Parametrisation.FLOW


def pseudo_runge_kutta(grid, x):
    """Algorithm 2 of the paper on the mixture: `transfer` is its eq. 9 with alpha and sigma."""

    def ask(point, x):
        return DATA.estimates(x, point[0], point[1])[1]

    def transfer(x, now, after, e):
        ratio = after[0] / now[0]
        return ratio * x + (after[1] - ratio * now[1]) * e

    past = []
    for step in range(grid.steps):
        now, after = grid[step][:2], grid[step + 1][:2]
        e = ask(now, x)
        if step < 3:
            time = (grid.model_time[step] + grid.model_time[step + 1]) / 2
            (alpha,), (sigma,) = grid.path.at(np.array([time]))
            b = ask((alpha, sigma), transfer(x, now, (alpha, sigma), e))
            c = ask((alpha, sigma), transfer(x, now, (alpha, sigma), b))
            d = ask(after, transfer(x, now, after, c))
            mean = (e + 2 * b + 2 * c + d) / 6
        else:
            mean = (55 * e - 59 * past[-1] + 37 * past[-2] - 9 * past[-3]) / 24
        past.append(e)
        x = transfer(x, now, after, mean)
    return x


def test_pndm_is_the_papers_algorithm():
    grid = Trailing(Final.LAST).grid(Linear(), 12)
    expected = pseudo_runge_kutta(grid, grid.noise_gain * NOISE)
    assert_alike(sample(PNDM(), grid), expected)


@pytest.mark.parametrize("solver", BOTH, ids=str)
def test_order_two_and_a_small_constant(solver):
    levels = between_levels(EDM(0.01, 80.0), 10.0, 0.1)
    found = strong_errors(solver, levels, DATA, NOISE, STEPS, fine=800)
    np.testing.assert_allclose(found.slopes, solver.order, atol=0.25)
    heun = strong_errors(Heun(), levels, DATA, NOISE, STEPS[-1:], fine=800)
    assert found.errors[-1] < heun.errors[-1] / 2


def test_one_step_of_plms_is_heuns():
    grid = Trailing(Final.LAST).grid(Linear(), 1)
    assert_alike(sample(PLMS(), grid), sample(Heun(), grid), 1e-13)


def test_later_steps_are_ipndms():
    for grid in (VP, ENDED):
        other = IPNDM().rows(grid).registers[:, 0]
        plms = PLMS().rows(grid).registers[:, 0]
        assert_alike(plms[5:], other[4:], 1e-13)
        assert_alike(plms[3:5], other[2:4], 1e-13)
        assert np.abs(plms[2] - other[1]).max() > 0.1
        pndm = PNDM().rows(grid)
        keep = [0, 1, 2, 3, *range(5, pndm.basis.width)]
        assert_alike(pndm.registers[13:, 0][:, keep], other[4:], 1e-13)


def test_slopes_of_the_warm_up_are_what_the_history_holds():
    """Behind the first step of either solver R_1 is the estimate at its start, to rounding."""
    grid = Trailing(Final.LAST).grid(Linear(), 6)
    start = grid.noise_gain * NOISE
    expected = DATA.estimates(start, *grid[0][:2])[1]
    for solver, stages in ((PLMS(), 2), (PNDM(), 4)):
        rows = solver.rows(grid)
        basis, values = rows.basis, {0: start}
        for stage in range(stages):
            point = rows.points[stage]
            denoised, noise = DATA.estimates(values[0], point.alpha, point.sigma)
            columns = np.zeros((basis.width, NOISE.size))
            for register, value in values.items():
                columns[register] = value
            columns[basis.denoised.argmax()], columns[basis.noise.argmax()] = denoised, noise
            values = dict(enumerate(rows.registers[stage + 1] @ columns))
        np.testing.assert_allclose(values[1], expected, atol=1e-11)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 12])
def test_evaluations_and_ends(steps):
    whole = Trailing(Final.LAST).grid(Linear(), steps)
    ended = Trailing().grid(Linear(), steps)
    noise = Trailing().grid(Flow(shift=2.0), steps)
    counts = {
        PLMS(): [steps + 1, steps + (steps > 1), steps],
        PNDM(): [
            steps + 3 * min(steps, 3),
            steps + 3 * min(steps - 1, 3),
            steps + 3 * max(min(steps - 2, 2), 0),
        ],
    }
    for solver, expected in counts.items():
        rows = [solver.rows(grid) for grid in (whole, ended, noise)]
        assert [one.stages for one in rows] == expected
        for one, grid in zip(rows, (whole, ended, noise), strict=True):
            assert one.steps[-1] == steps
            assert one.draws.tolist() == [1] + [0] * one.stages
            assert np.isfinite(one.registers).all()
            assert np.isfinite(sample(solver, grid)).all()


def test_registers():
    """Four for PLMS, one more while PNDM's third step runs: 13 and 21 evaluations in 12 steps."""
    assert [registers(solver) for solver in BOTH] == [4, 5]
    assert [registers(solver, 2) for solver in BOTH] == [2, 3]
    assert [registers(solver, 3) for solver in BOTH] == [3, 3]
    table = fold(PNDM().rows(Trailing().grid(Linear(), 12)), Parametrisation.EPS, Unguided())
    assert max(bin(live).count("1") for live in table.live.tolist()) == 5
    assert table.stages == 21


@pytest.mark.parametrize("solver", BOTH, ids=str)
def test_every_parametrisation_gives_the_same_sample(solver):
    """On grids of times, as the path itself has the middle of a step."""
    for schedule, others in ((Linear(), ("eps", "v")), (Flow(), ("v", "flow"))):
        grid = Trailing(Final.ZERO).grid(schedule, 8)
        first = sample(solver, grid)
        for name in others:
            assert_alike(sample(solver, grid, Parametrisation(name)), first)
    assert_invariant(PLMS())


def test_one_step_to_clean_data_is_ddims():
    for schedule in (Linear(), Flow()):
        grid = Trailing().grid(schedule, 1)
        for solver in BOTH:
            assert_alike(sample(solver, grid), sample(DDIM(), grid), 1e-13)


def test_the_middle_of_a_step_is_told_as_the_path_has_it():
    grid = Rounded(Karras()).grid(Linear(), 7)
    times = np.array([point.model_time for point in PNDM().rows(grid).points])
    np.testing.assert_array_equal(times, np.round(times))
    shared = SharedTimes()
    grid = Timesteps((150.0, 90.0, 50.0, 10.0)).grid(shared, 4)
    times = np.array([point.model_time for point in PNDM().rows(grid).points])
    np.testing.assert_array_equal(times, shared.told(times))
    grid = Trailing().grid(Linear(), 10)
    assert [point.model_time for point in PNDM().rows(grid).points[:4]] == [999, 949, 949, 899]


def test_the_middle_of_a_step_needs_a_path():
    bare = Grid(VP.alpha, VP.sigma, VP.model_time, 1.0)
    PLMS().rows(bare)
    with pytest.raises(InvalidInput, match="without a path"):
        PNDM().rows(bare)
