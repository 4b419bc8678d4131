"""LMS and iPNDM: weights, order, equalities, registers, limits."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import between_levels, strong_errors
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import EDM, Final, Flow, Linear, Trailing
from denoisert.runtime.sampling.solvers import DDIM, IPNDM, LMS, Euler, Nodes
from denoisert.runtime.sampling.solvers.adams import weights
from tests.runtime.sampling.multistep_trials import (
    ENDED,
    NOISE,
    STEPS,
    VP,
    assert_alike,
    assert_invariant,
    registers,
    sample,
    slopes,
)
from tests.runtime.sampling.trials import DATA

FLOW = Parametrisation.FLOW
LEVELS = between_levels(EDM(0.01, 80.0), 10.0, 0.1)
EVERY = [
    *(LMS(order) for order in (1, 2, 3, 4)),
    *(IPNDM(order) for order in (1, 2, 3, 4)),
    IPNDM(nodes=Nodes.ACTUAL),
]


def even_levels(steps):
    """A VE path, even in sigma from 4 to 1, where the even weights are exact."""
    sigma = np.linspace(4.0, 1.0, steps + 1)
    return Grid(np.ones(steps + 1), sigma, sigma, 4.0)


def history(solver):
    return solver.max_order if isinstance(solver, IPNDM) else solver.order


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [1]),
        (2, [3 / 2, -1 / 2]),
        (3, [23 / 12, -16 / 12, 5 / 12]),
        (4, [55 / 24, -59 / 24, 37 / 24, -9 / 24]),
    ],
)
def test_weights_of_even_nodes_are_adams_and_bashforths(count, expected):
    np.testing.assert_allclose(weights((0.0, -1.0, -2.0, -3.0)[:count], 1.0), expected, rtol=1e-13)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("scale", [1.0, 1e8, 1e-6])
def test_weights_integrate_polynomials_exactly(count, scale):
    nodes = scale * np.array([2.0, 3.1, 5.0, 9.0])[:count]
    end = 0.7 * scale
    found = weights(nodes.tolist(), end)
    for power in range(count):
        exact = (end ** (power + 1) - nodes[0] ** (power + 1)) / (power + 1)
        np.testing.assert_allclose(found @ nodes**power, exact, rtol=1e-11)


@pytest.mark.parametrize("solver", EVERY[:4], ids=str)
def test_order_where_first_steps_are_short(solver):
    """Times even on a VP path: the levels fall fast at first, so that the start weighs little."""
    found = slopes(solver)
    low, high = {1: (0.9, 1.1), 2: (1.8, 2.3), 3: (2.6, 3.3), 4: (3.2, 4.4)}[solver.order]
    assert np.all((found > low) & (found < high))


@pytest.mark.parametrize("solver", EVERY[4:8], ids=str)
def test_even_weights_have_order_two_on_uneven_levels(solver):
    found = strong_errors(solver, LEVELS, DATA, NOISE, STEPS, fine=800)
    np.testing.assert_allclose(found.slopes, solver.order, atol=0.25)
    assert solver.order == min(2, solver.max_order)


def test_higher_order_has_the_smaller_error():
    solvers = [*(LMS(order) for order in (1, 2, 3, 4)), IPNDM()]
    errors = [strong_errors(one, LEVELS, DATA, NOISE, (96,), fine=800).errors[0] for one in solvers]
    assert errors[0] > 10 * errors[1] > 50 * errors[2] > 100 * errors[3]
    assert errors[2] < errors[4] < errors[1]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_lms_is_ipndm_at_actual_levels(order):
    for grid in (VP, ENDED, Trailing().grid(Flow(), 6)):
        found = IPNDM(order, Nodes.ACTUAL).rows(grid).registers
        np.testing.assert_array_equal(found, LMS(order).rows(grid).registers)
    even = even_levels(7)
    assert_alike(IPNDM(order).rows(even).registers, LMS(order).rows(even).registers, 1e-13)
    if order > 1:
        other = IPNDM(order).rows(VP).registers
        assert np.abs(other - LMS(order).rows(VP).registers).max() > 1e-3


def test_order_one_is_ddim():
    for grid in (VP, ENDED):
        for solver in (LMS(1), IPNDM(1)):
            assert_alike(solver.rows(grid).registers, DDIM().rows(grid).registers, 1e-13)


def test_rows_are_the_formula():
    """x_s = alpha_s (x_t / alpha_t + (sv_s - sv_t) (55 E_0 - 59 E_1 + 37 E_2 - 9 E_3) / 24)."""
    rows = IPNDM().rows(VP)
    basis = rows.basis
    mean = (
        55 * basis.noise
        - 59 * basis.registers[1]
        + 37 * basis.registers[2]
        - 9 * basis.registers[3]
    ) / 24
    for step in range(3, VP.steps):
        now, after = VP[step], VP[step + 1]
        start = basis.denoised + now.sigma_ve * basis.noise
        expected = after.alpha * (start + (after.sigma_ve - now.sigma_ve) * mean)
        np.testing.assert_allclose(rows.registers[step + 1, 0], expected, atol=1e-12)
        kept = [basis.noise, *basis.registers[1:3]]
        np.testing.assert_array_equal(rows.registers[step + 1, 1:], kept)


@pytest.mark.parametrize("solver", EVERY, ids=str)
def test_a_start_without_signal_takes_no_part_at_actual_levels(solver):
    """Out of alpha = 0 the step is Euler's; behind it LMS has one level and is Euler again."""
    grid = Trailing().grid(Flow(shift=2.0), 5)
    rows, euler = solver.rows(grid), Euler().rows(grid)
    columns = np.r_[0, rows.basis.count : rows.basis.width]
    first = np.r_[0, 1 : euler.basis.width]
    np.testing.assert_allclose(rows.registers[1, 0, columns], euler.registers[1, 0, first])
    if isinstance(solver, LMS) or solver.nodes is Nodes.ACTUAL:
        np.testing.assert_allclose(rows.registers[2, 0, columns], euler.registers[2, 0, first])


@pytest.mark.parametrize("solver", EVERY, ids=str)
def test_evaluations_registers_and_ends(solver):
    assert registers(solver) == history(solver)
    for steps in (1, 2, 3, 7):
        for grid in (
            Trailing(Final.LAST).grid(Linear(), steps),
            Trailing().grid(Linear(), steps),
            Trailing().grid(Flow(shift=2.0), steps),
        ):
            rows = solver.rows(grid)
            assert (rows.stages, rows.steps[-1]) == (steps, steps)
            assert rows.basis.count == min(history(solver), steps)
            assert np.isfinite(fold(rows, FLOW, Unguided()).matrix).all()
            assert np.isfinite(sample(solver, grid, FLOW)).all()
    one = sample(solver, Trailing().grid(Flow(), 1), FLOW)
    np.testing.assert_allclose(one, DATA.estimates(NOISE, 0.0, 1.0)[0], rtol=1e-13)


@pytest.mark.parametrize("solver", [EVERY[1], EVERY[3], EVERY[7]], ids=str)
def test_every_parametrisation_gives_the_same_sample(solver):
    assert_invariant(solver)


@pytest.mark.parametrize("order", [0, 5, -1, 2.0, True])
def test_other_orders_are_refused(order):
    for kind in (LMS, IPNDM):
        with pytest.raises(InvalidInput, match="a whole number"):
            kind(order)
