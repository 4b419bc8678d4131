"""UniPC: order with and without its corrector, options, equalities, registers, refusals."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.oracle import between_levels, strong_errors
from denoisert.runtime.sampling.schedules import VE, Flow, Trailing
from denoisert.runtime.sampling.solvers import DDIM, RES, Corrector, Ending, Estimate, Slope, UniPC
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

FULL = Ending.FULL


def unip(order, slope=Slope.BH2):
    return UniPC(order, slope, corrector=Corrector.OFF, ending=FULL)


@pytest.mark.parametrize(
    ("solver", "order"),
    [
        (UniPC(1, ending=FULL), 2),
        (UniPC(1, Slope.BH1, ending=FULL), 2),
        (UniPC(2, ending=FULL), 3),
        (UniPC(2, Slope.BH1, ending=FULL), 3),
        (UniPC(3, ending=FULL), 4),
        (UniPC(2, estimate=Estimate.NOISE, ending=FULL), 3),
        (UniPC(3, estimate=Estimate.NOISE, ending=FULL), 4),
        (unip(2), 2),
        (unip(3), 3),
    ],
    ids=str,
)
def test_the_corrector_adds_one_order(solver, order):
    np.testing.assert_allclose(slopes(solver), order, atol=0.25)


def test_the_corrector_repairs_the_first_step():
    """Even in log SNR, where order 3 alone is left with its first step: 1.8e-6 and 2.7e-8."""
    grids = between_levels(VE(), 10.0, 0.1)
    with_it, without, lowered = (
        strong_errors(solver, grids, DATA, NOISE, STEPS, fine=800)
        for solver in (UniPC(3, ending=FULL), unip(3), UniPC(3))
    )
    np.testing.assert_allclose(with_it.slopes, 4.0, atol=0.25)
    assert 1.9 < without.slopes[-1] < 2.4
    assert 1.9 < lowered.slopes[-1] < 2.25
    assert with_it.errors[-1] < without.errors[-1] / 40


def test_one_update_under_several_names():
    for grid in (VP, ENDED):
        assert_alike(sample(unip(1), grid), sample(DDIM(), grid))
        assert_alike(sample(unip(2, Slope.EXACT), grid), sample(RES(2), grid))
        assert_alike(sample(unip(3, Slope.EXACT), grid), sample(RES(3), grid))
        everywhere = UniPC(3, uncorrected=tuple(range(9)), ending=FULL)
        assert_alike(sample(everywhere, grid), sample(unip(3), grid), 0.0)


def test_b_matters_in_the_steps_of_two_points_alone():
    """UniP-3 differs in its second step, UniC-3 corrects the first step with two points."""
    one, other = (unip(3, slope).rows(VP).registers for slope in (Slope.BH1, Slope.BH2))
    assert [np.abs(a - b).max() > 1e-9 for a, b in zip(one, other, strict=True)] == [
        step == 2 for step in range(10)
    ]


@pytest.mark.parametrize("estimate", Estimate)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_limits_and_parametrisations(order, estimate):
    solver = UniPC(order, estimate=estimate)
    assert_sound(solver)
    assert_invariant(solver)


def test_registers_are_no_more_than_needed():
    assert [registers(UniPC(order)) for order in (1, 2, 3)] == [2, 3, 4]
    assert [registers(unip(order)) for order in (1, 2, 3)] == [1, 2, 3]
    assert registers(UniPC(3), steps=1) == 1
    assert registers(UniPC(3), steps=2) == 2
    assert registers(UniPC(2, uncorrected=tuple(range(12)))) == 2


def test_a_step_that_is_not_corrected():
    """Left out, a correction changes that step alone; what follows is written the same."""
    whole, part = UniPC(3, ending=FULL).rows(VP), UniPC(3, ending=FULL, uncorrected=(4,)).rows(VP)
    same = [
        bool(np.array_equal(a, b)) for a, b in zip(whole.registers, part.registers, strict=True)
    ]
    assert same == [step not in (5, 6) for step in range(10)]
    waiting = part.basis.registers[1]
    assert not part.registers[6, 0] @ waiting
    assert whole.registers[6, 0] @ waiting


def test_bh1_needs_steps_of_finite_length():
    """Upstream divides by h there and answers NaN."""
    for grid in (ENDED, Trailing().grid(Flow(), 5)):
        with pytest.raises(InvalidInput, match="infinite length"):
            UniPC(2, Slope.BH1).rows(grid)
        assert np.isfinite(UniPC(2).rows(grid).registers).all()
    assert np.isfinite(UniPC(2, Slope.BH1).rows(VP).registers).all()


@pytest.mark.parametrize(
    "build",
    [
        lambda: UniPC(0),
        lambda: UniPC(4),
        lambda: UniPC(2, uncorrected=(-1,)),
        lambda: UniPC(2, corrector=Corrector.OFF, uncorrected=(1,)),
    ],
)
def test_values_outside_their_range_are_refused(build):
    with pytest.raises(InvalidInput):
        build()


def test_it_reads_as_it_is_made():
    solver = UniPC(3, Slope.BH1, Estimate.NOISE, Corrector.ON, (1, 2), Ending.FULL)
    assert eval(repr(solver)) == solver
