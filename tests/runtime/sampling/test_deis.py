"""DEIS: order, equality with DDIM, registers, limits."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.oracle import between_levels, strong_errors
from denoisert.runtime.sampling.schedules import VE
from denoisert.runtime.sampling.solvers import DDIM, DEIS, Estimate, UniPC
from denoisert.runtime.sampling.solvers.unipc import Corrector, Ending
from tests.runtime.sampling.multistep_trials import (
    ENDED,
    NOISE,
    STEPS,
    VP,
    assert_alike,
    assert_invariant,
    assert_sound,
    registers,
    sample,
    slopes,
)
from tests.runtime.sampling.trials import DATA

EVERY = [DEIS(order, 0) for order in (1, 2, 3, 4)]


@pytest.mark.parametrize("solver", EVERY, ids=str)
def test_order_where_first_steps_are_short(solver):
    np.testing.assert_allclose(slopes(solver), solver.order, atol=0.25)


@pytest.mark.parametrize("order", [3, 4])
def test_first_steps_leave_order_two_between_levels(order):
    """Even in log SNR the step of order 1 at the start errs by h^2: more steps cannot hide it."""
    found = strong_errors(
        DEIS(order, 0), between_levels(VE(), 10.0, 0.1), DATA, NOISE, STEPS, fine=800
    )
    assert 2.0 < found.slopes[-1] < 2.5
    assert (
        found.errors[-1]
        < 2.5e-6
        < 5e-5
        < strong_errors(
            DEIS(2, 0), between_levels(VE(), 10.0, 0.1), DATA, NOISE, STEPS[-1:], fine=800
        ).errors[0]
    )


def test_order_one_is_ddim():
    for grid in (VP, ENDED):
        assert_alike(sample(DEIS(1), grid), sample(DDIM(), grid))


def test_order_three_is_unip_on_the_noise_estimate():
    """UniP weighs otherwise in its order 2 alone, which is its second step."""
    solver = UniPC(3, estimate=Estimate.NOISE, corrector=Corrector.OFF, ending=Ending.FULL)
    ours, theirs = DEIS(3, 0).rows(VP).registers, solver.rows(VP).registers
    np.testing.assert_allclose(ours[3:], theirs[3:], rtol=1e-12, atol=1e-15)
    assert np.abs(ours[2] - theirs[2]).max() > 1e-3


@pytest.mark.parametrize("solver", EVERY, ids=str)
def test_limits_and_parametrisations(solver):
    assert_sound(solver)
    assert_invariant(solver)
    assert registers(solver) == solver.order


def test_lower_order_at_the_end():
    """Below 15 steps the last is DDIM's and the one before has order 2."""
    low, full = DEIS(3).rows(VP), DEIS(3, 0).rows(VP)
    assert np.array_equal(low.registers[:-2], full.registers[:-2])
    first, second = low.basis.registers[1:]
    assert low.registers[-1, 0] @ first == low.registers[-1, 0] @ second == 0.0
    assert low.registers[-2, 0] @ first != 0.0 == low.registers[-2, 0] @ second


@pytest.mark.parametrize("build", [lambda: DEIS(0), lambda: DEIS(5), lambda: DEIS(2, -1)])
def test_values_outside_their_range_are_refused(build):
    with pytest.raises(InvalidInput):
        build()
