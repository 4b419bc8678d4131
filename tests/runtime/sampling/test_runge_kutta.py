"""Butcher tables, and Runge-Kutta methods in sigma_ve and in t."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.names import SOLVERS
from denoisert.runtime.sampling.notation import parse
from denoisert.runtime.sampling.oracle import between_levels, between_times, strong_errors
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import EDM, Final, Flow, Linear, Trailing
from denoisert.runtime.sampling.solvers import (
    Euler,
    FlowEuler,
    FlowHeun,
    FlowRungeKutta,
    Heun,
    RungeKutta,
    Scheme,
)
from denoisert.runtime.sampling.solvers.butcher import memory, nodes, order, transitions, trees
from tests.runtime.sampling.multistep_trials import (
    ENDED,
    NOISE,
    VP,
    assert_alike,
    assert_invariant,
    registers,
    sample,
    slopes,
)
from tests.runtime.sampling.trials import DATA

FLOW = Parametrisation.FLOW
EULER = ((1.0,),)
RALSTON4 = (
    (0.4,),
    (0.29697761, 0.15875964),
    (0.21810040, -3.05096516, 3.83286476),
    (0.17476028, -0.55148066, 1.20553560, 0.17118478),
)
ORDERS = dict(zip(Scheme, (2, 2, 2, 3, 3, 3, 3, 4, 4, 5), strict=True))
LEVELS = between_levels(EDM(0.01, 80.0), 10.0, 0.1)
TIMES = between_times(Flow(), 0.98, 0.05)


@pytest.mark.parametrize("scheme", Scheme, ids=str)
def test_order_conditions_find_the_order_of_every_scheme(scheme):
    assert order(scheme.table) == ORDERS[scheme] == RungeKutta(scheme).order
    assert RungeKutta(scheme).evaluations_per_step == len(scheme.table)
    *stages, weights = scheme.table
    moved = np.array(weights) + 1e-6 * np.eye(len(weights))[0]
    assert order((*stages, tuple(moved / moved.sum()))) == 1


def test_order_conditions_are_one_for_each_rooted_tree():
    assert [len(trees(size)) for size in range(1, 7)] == [1, 1, 2, 4, 9, 20]
    assert trees(3) == (((), ()), (((),),))


def test_order_of_other_tables():
    assert order(EULER) == 1
    assert order(((0.5,), (0.5, 0.5))) == 1
    assert order(((0.5,), (0.0, 0.5), (0.0, 0.0, 1.0), (0.25, 0.25, 0.25, 0.25))) == 2
    rounded = tuple(tuple(round(value, 4) for value in row) for row in RALSTON4)
    assert order(rounded) == 1


def test_two_half_steps_as_one_table_have_the_methods_order():
    for scheme in (Scheme.KUTTA3, Scheme.RK4):
        *stages, weights = [tuple(np.array(row) / 2) for row in scheme.table]
        second = [(*weights, *row) for row in ((), *stages, weights)]
        assert order((*stages, *second)) == ORDERS[scheme]


@pytest.mark.parametrize("kept", [0, 1])
@pytest.mark.parametrize("scheme", Scheme, ids=str)
def test_transitions_carry_the_textbooks_stages(scheme, kept):
    """With slopes that know nothing of each other: every y_i, then y_s and h k_0."""
    rng = np.random.default_rng(3)
    table = scheme.table
    y, slopes_ = rng.standard_normal(5), rng.standard_normal((len(table), 5))
    known = np.array([y])
    for stage, matrix in enumerate(transitions(table, kept)):
        known = matrix @ np.vstack([known, slopes_[stage]])
        expected = y + np.array(table[stage]) @ slopes_[: stage + 1]
        np.testing.assert_allclose(known[0], expected, atol=1e-13)
        assert np.abs(matrix).max() < 15.0
    assert len(known) == 1 + kept
    if kept:
        np.testing.assert_allclose(known[1], slopes_[0], atol=1e-13)


def test_memory_is_the_rank_of_what_the_future_needs():
    assert [memory(scheme.table, 0) for scheme in Scheme] == [2, 2, 2, 2, 2, 2, 2, 3, 3, 4]
    assert [memory(scheme.table, 1) for scheme in Scheme] == [2, 2, 2, 3, 3, 3, 3, 3, 3, 4]
    assert memory(EULER, 0) == 1


@pytest.mark.parametrize(
    "table",
    [
        (),
        ((0.5, 0.5),),
        ((0.5,), (1.0,)),
        ((1.5,), (0.5, 0.5)),
        ((-0.5,), (0.5, 0.5)),
        ((0.5,), (0.5, 0.6)),
        ((float("nan"),), (0.5, 0.5)),
        tuple((1.0, *[0.0] * i) for i in range(13)),
    ],
)
def test_what_is_no_table_is_refused(table):
    for kind in (RungeKutta, FlowRungeKutta):
        with pytest.raises(InvalidInput):
            kind(table)


@pytest.mark.parametrize("scheme", [Scheme.RALSTON, Scheme.SSPRK3, Scheme.RK4], ids=str)
def test_order_in_sigma_ve(scheme):
    np.testing.assert_allclose(slopes(RungeKutta(scheme), LEVELS), ORDERS[scheme], atol=0.25)


@pytest.mark.parametrize("scheme", [Scheme.MIDPOINT, Scheme.KUTTA3, Scheme.THREE_EIGHTHS], ids=str)
def test_order_in_t(scheme):
    solver = FlowRungeKutta(scheme)
    found = strong_errors(solver, TIMES, DATA, NOISE, (48, 96, 192), fine=2000).slopes
    np.testing.assert_allclose(found, ORDERS[scheme], atol=0.25)


def test_order_five():
    solver = RungeKutta(Scheme.DOPRI5)
    found = strong_errors(solver, LEVELS, DATA, NOISE, (48, 96), fine=2000).slopes
    np.testing.assert_allclose(found, 5.0, atol=0.3)


def test_order_from_pure_noise_to_clean_data_in_t():
    """Where no stage asks at the end of a step, the step into t = 0 is a full one."""
    whole = lambda steps: Trailing().grid(Flow(), steps)  # noqa: E731
    np.testing.assert_allclose(slopes(FlowRungeKutta(Scheme.RALSTON3), whole), 3.0, atol=0.25)
    np.testing.assert_allclose(slopes(FlowRungeKutta(Scheme.RK4), whole), 2.0, atol=0.25)


def test_one_method_has_several_names():
    for grid in (VP, ENDED):
        assert_alike(RungeKutta(Scheme.HEUN).rows(grid).registers, Heun().rows(grid).registers)
        assert_alike(sample(RungeKutta(EULER), grid), sample(Euler(), grid))
    flow = Trailing().grid(Flow(shift=2.0), 7)
    for solver, table in ((FlowHeun(), Scheme.HEUN), (FlowEuler(), EULER)):
        other = FlowRungeKutta(table).rows(flow).registers
        np.testing.assert_array_equal(solver.rows(flow).registers, other)
    read = parse(SOLVERS, "runge_kutta(table=[[0.5], [0, 1]])")
    assert_alike(read.rows(VP).registers, RungeKutta(Scheme.MIDPOINT).rows(VP).registers)
    assert parse(SOLVERS, "flow_runge_kutta(table='rk4')") == FlowRungeKutta(Scheme.RK4)


def test_heuns_rows_are_the_papers():
    """predictor alpha_s D + sigma_s E, then half the slopes; the other register is the rest."""
    rows = Heun().rows(VP)
    basis = rows.basis
    for step in range(VP.steps):
        now, after = VP[step], VP[step + 1]
        first, second = rows.registers[2 * step + 1], rows.registers[2 * step + 2]
        half = after.alpha * (after.sigma_ve - now.sigma_ve) / 2
        predictor = after.alpha * basis.denoised + after.sigma * basis.noise
        rest = after.alpha * basis.denoised + after.alpha * now.sigma_ve * basis.noise
        np.testing.assert_allclose(first, [predictor, rest + half * basis.noise], atol=1e-13)
        corrected = basis.registers[1] + half * basis.noise
        np.testing.assert_allclose(second[0], corrected, atol=1e-13)


@pytest.mark.parametrize("scheme", [*Scheme, RALSTON4], ids=str)
def test_evaluations_registers_and_ends(scheme):
    if scheme is RALSTON4:
        scheme = (*RALSTON4[:-1], (*RALSTON4[-1][:3], 1.0 - sum(RALSTON4[-1][:3])))
    table = scheme.table if isinstance(scheme, Scheme) else scheme
    solver, stages = RungeKutta(scheme), len(table)
    assert registers(solver) == memory(table, 0)
    for steps in (1, 2, 3):
        whole = Trailing(Final.LAST).grid(Linear(), steps)
        ended = Trailing().grid(Linear(), steps)
        noise = Trailing().grid(Flow(), steps)
        counts = [solver.rows(grid).stages for grid in (whole, ended, noise)]
        inner = max(steps - 2, 0) * stages + min(steps, 2)
        assert counts == [stages * steps, stages * (steps - 1) + 1, inner]
        asks_the_end = any(abs(share - 1.0) < 1e-9 for share in nodes(table))
        last = 1 if asks_the_end else stages
        assert FlowRungeKutta(scheme).rows(noise).stages == stages * (steps - 1) + last
        for grid in (whole, ended, noise):
            rows = solver.rows(grid)
            assert np.isfinite(rows.registers).all()
            assert rows.steps[-1] == steps
            assert rows.draws.tolist() == [1] + [0] * rows.stages


def test_every_parametrisation_gives_the_same_sample():
    for solver in (RungeKutta(), RungeKutta(Scheme.SSPRK3)):
        assert_invariant(solver)
    flow = Trailing().grid(Flow(shift=3.0), 6)
    solver = FlowRungeKutta(Scheme.RK4)
    assert_alike(sample(solver, flow, FLOW), sample(solver, flow))


def test_a_start_without_signal():
    level = np.array([np.inf, 20.0, 3.0, 0.5, 0.0])
    path = Linear()
    alpha, sigma = path.coordinates(level)
    grid = Grid(alpha, sigma, np.zeros(5), 1.0, path=path)
    for scheme in (Scheme.RK4, Scheme.MIDPOINT):
        assert np.isfinite(sample(RungeKutta(scheme), grid)).all()


def test_stages_between_points_need_a_path():
    bare = Grid(VP.alpha, VP.sigma, VP.model_time, 1.0)
    flow = Trailing().grid(Flow(), 4)
    with pytest.raises(InvalidInput, match="without a path"):
        RungeKutta().rows(bare)
    with pytest.raises(InvalidInput, match="without a path"):
        FlowRungeKutta().rows(Grid(flow.alpha, flow.sigma, flow.model_time, 1.0))
    Heun().rows(bare)
    RungeKutta(Scheme.HEUN).rows(bare)
    with pytest.raises(InvalidInput, match="linear path"):
        FlowRungeKutta().rows(VP)


def test_history_is_renamed_instead_of_copied():
    """RK4 keeps y over two stages: a register that only stays is not written."""
    table = fold(RungeKutta().rows(VP), Parametrisation.EPS, Unguided())
    assert table.rename.shape[1] == 3
    assert RungeKutta().rows(VP).registers[2, 1].tolist().count(1.0) == 1
