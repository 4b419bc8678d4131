"""Networks that were taught whole steps, on data where the exact step is known."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Flow, Linear, Trailing
from denoisert.runtime.sampling.solvers import FlowEuler, FlowMap, Shortcut, StepTold

FLOW = Parametrisation.FLOW
LAYOUT = StateLayout((Part("x", (5,)),))
DEVIATION = 0.5


def deviation(t):
    """Of x_t = (1 - t) x0 + t eps for x0 ~ N(0, 0.5^2)."""
    return np.hypot((1 - t) * DEVIATION, t)


def mean_velocity(x, t, s):
    """The exact one from t to s: x_s = x deviation(s) / deviation(t)."""
    return x * (deviation(s) / deviation(t) - 1) / (s - t)


def run(solver, steps, answer, scale=1.0, guidance=None):
    noise = np.random.default_rng(3).standard_normal(5)
    grid = Trailing().grid(Flow(time_scale=scale), steps)
    table = fold(solver.rows(grid), FLOW, guidance or Unguided())
    return execute(table, LAYOUT, answer, [noise]).latent / noise


@pytest.mark.parametrize("steps", [1, 2, 8, 128])
def test_shortcuts_end_exactly_at_any_power_of_two(steps):
    def exact(x, t, condition, scalars=(0.0,)):
        return mean_velocity(x, t, t - 2.0 ** -scalars[0])

    np.testing.assert_allclose(run(Shortcut(), steps, exact), DEVIATION, rtol=1e-12)


def test_a_network_told_another_step_ends_elsewhere():
    """Told always the finest step it is Euler on the velocity: 0, 0.2, 0.415, 0.494 (not 0.5)."""

    def finest(x, t, condition, scalars=(0.0,)):
        h = 1e-6
        return mean_velocity(x, t, t - h)

    ends = [run(Shortcut(), steps, finest)[0] for steps in (1, 2, 8, 128)]
    np.testing.assert_allclose(ends, [0.0, 0.2, 0.415, 0.494], atol=1e-3)

    def wrong(x, t, condition, scalars=(0.0,)):
        return mean_velocity(x, t, t - min(2.0 ** -(scalars[0] + 1), t))

    assert abs(run(Shortcut(), 8, wrong)[0] - DEVIATION) > 0.01


def test_more_steps_than_were_trained_are_told_the_finest():
    levels = []

    def note(x, t, condition, scalars=(0.0,)):
        levels.append(scalars[0])
        return mean_velocity(x, t, t - 1e-7)

    run(Shortcut(finest=3), 16, note)
    assert set(levels) == {3.0}


@pytest.mark.parametrize("told", [StepTold.END, StepTold.LENGTH])
@pytest.mark.parametrize(("steps", "scale"), [(1, 1.0), (3, 1.0), (7, 1000.0)])
def test_flow_maps_are_told_the_end_or_the_length_in_the_networks_own_time(told, steps, scale):
    def exact(x, time, condition, scalars=(0.0,)):
        end = scalars[0] if told is StepTold.END else time - scalars[0]
        return mean_velocity(x, time / scale, end / scale)

    np.testing.assert_allclose(run(FlowMap(told), steps, exact, scale), DEVIATION, rtol=1e-12)


def test_both_branches_are_told():
    def note(x, t, condition, scalars=(0.0,)):
        seen.append((condition, float(scalars[0])))
        return x * 0.1

    seen: list = []
    run(FlowMap(), 2, note, guidance=CFG(2.0))
    assert sorted(seen) == [(0, 0.0), (0, 0.5), (1, 0.0), (1, 0.5)]


def test_the_update_itself_is_eulers():
    grid = Trailing().grid(Flow(shift=2.0), 6)
    np.testing.assert_array_equal(FlowMap().rows(grid).registers, FlowEuler().rows(grid).registers)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FlowMap(StepTold.LEVEL), "Use Shortcut"),
        (lambda: Shortcut(finest=-1), "finest -1 must be a whole number"),
        (lambda: Shortcut().rows(Trailing().grid(Flow(), 6)), r"found 6\. Ask for 8"),
        (lambda: Shortcut().rows(Trailing().grid(Flow(shift=3.0), 8)), "found lengths from"),
        (lambda: Shortcut().rows(Trailing().grid(Linear(), 8)), "needs a linear path"),
        (lambda: FlowMap().rows(Trailing().grid(Linear(), 8)), "needs a linear path"),
    ],
)
def test_what_makes_no_sense_is_refused(build, message):
    with pytest.raises(InvalidInput, match=message):
        build()
