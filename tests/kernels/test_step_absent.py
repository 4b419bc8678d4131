"""What a row does not name is neither read nor written; what it names arrives bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from denoisert.kernels.step import launch, reference
from denoisert.kernels.step.encode import Surroundings
from denoisert.kernels.step.record import FORMS
from denoisert.kernels.step.row import Operation
from tests.kernels.step_check import bits, run, simple, simple_case
from tests.kernels.step_rows import ULP, write_case
from tests.kernels.step_space import PAGE, POISON, place
from tests.kernels.test_step import NONE, OPERATIONS

SMALL, MIDDLE, LARGE = FORMS
ASKS = Surroundings((0, 0), (1.0, 2.0), times=(3.0, 4.0), scalars=((5.0,) * 4,) * 2)


def test_registers_keep_their_bits_unless_written(kernel_device):
    """Also those with payloads of NaN and with minus zero, and also where an input reads them."""
    row = simple(SMALL, {SMALL.register_row(0): {1: 1.0}}, targets=(2,))
    asks = ASKS._replace(sources=(0, 3), scales=(1.0, 1.0))
    around = Surroundings(pending=3, needed=(0, 3), is_followed=True)
    case = simple_case(SMALL, row, around=around, asks=asks)
    case.columns[0].view(np.int32)[:3] = 0x7FC01234, 0x7F800001, -0x80000000
    case.columns[3, :2] = -0.0, 1e-42
    where = run(case, kernel_device)
    np.testing.assert_array_equal(
        bits(where.registers(0)[[0, 1, 3]]), bits(case.columns[[0, 1, 3]])
    )
    np.testing.assert_array_equal(where.registers(0)[2], case.columns[1])
    np.testing.assert_array_equal(where.lanes(0), case.columns[[0, 3]])


@pytest.mark.parametrize("form", [SMALL, MIDDLE])
def test_nan_reaches_only_the_rows_that_read_it(form, kernel_device):
    """Register 0 reads a register, 1 a branch that is NaN, 2 an external or the one."""
    last = form.external(1) if form.externals else form.one
    terms = {0: {3: 1.0}, 1: {form.branch(1): 1.0}, 2: {last: 0.5}}
    row = simple(form, {form.register_row(register): term for register, term in terms.items()})
    case = simple_case(form, row)
    case.columns[[0, 1, 2, form.branch(0), form.branch(1)]] = np.nan
    found = run(case, kernel_device).registers(0)
    np.testing.assert_array_equal(found[[0, 2]], case.columns[[3, last]] * [[1.0], [0.5]])
    assert np.isnan(found[1]).all()


def test_branches_without_an_address_are_not_read(kernel_device):
    """A skipped branch has address 0; a lane without a place for its input is not written."""
    row = simple(MIDDLE, {MIDDLE.register_row(0): {MIDDLE.branch(1): 1.0}})
    around = Surroundings(pages=(-1,) * 4, is_followed=True)
    case = simple_case(MIDDLE, row, around=around, asks=ASKS)
    where = place(MIDDLE, kernel_device, elements=8)
    write_case(where, 0, case)
    where.space.pages.zero_()
    lanes = where.space.lanes[0]
    lanes[[0, 2, 3]] = 0
    launch.step(where.space)
    np.testing.assert_array_equal(where.registers(0)[0], case.columns[MIDDLE.branch(1)])
    found = where.lanes(0)
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1], 2 * case.columns[MIDDLE.branch(1)])
    assert where.times[0].tolist() == [np.float32(POISON), 4.0, *[np.float32(POISON)] * 2]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one[0].name.lower())
def test_operations_keep_nan_and_know_infinity(operation, kernel_device):
    code, low, high = operation[0], *(float(np.float32(bound)) for bound in operation[1:])
    rows = {MIDDLE.argument_row(0): {0: 1.0}, MIDDLE.register_row(1): {MIDDLE.estimate(0): 1.0}}
    row = simple(MIDDLE, rows, operations=((code, low, high), NONE))
    case = simple_case(MIDDLE, row)
    values = np.array([0.0, -0.3, np.inf, -np.inf, np.nan, 200.0, -300.0, 55.5])
    case.columns[0] = values
    found = run(case, kernel_device).registers(0)[1]
    with np.errstate(all="ignore"):
        wanted = reference.operate(values, (code, low, high), case.thresholds[0])
        wanted = wanted.astype(np.float32)
    assert np.isnan(found[4])
    # A fold may err by an ulp of what is folded.
    atol = 300 * ULP if code is Operation.REFLECT else 0
    np.testing.assert_allclose(found, wanted, rtol=2 * ULP, atol=atol)


def test_guidance_one_returns_the_condition_bit_for_bit(kernel_device):
    """G = V_1 with weights (0, 1): nothing of the other branch, not even its rounding."""
    rows = {0: {MIDDLE.branch(1): 1.0}, 1: {MIDDLE.branch(0): 1.0}}
    rows[MIDDLE.register_row(0)] = {MIDDLE.guided: 1.0}
    weights = np.array([[0.0, 1.0]], np.float32)
    around = Surroundings(pages=(PAGE,) * 4, rule=(1, 2))
    case = simple_case(MIDDLE, simple(MIDDLE, rows), around=around, weights=weights)
    found = run(case, kernel_device).registers(0)[0]
    np.testing.assert_array_equal(bits(found), bits(case.columns[MIDDLE.branch(0)]))


def test_linear_guidance_of_scale_one_returns_the_condition_bit_for_bit(kernel_device):
    """What folding makes of it: the other branch has no term, so its NaN is not read."""
    row = simple(SMALL, {SMALL.register_row(0): {SMALL.branch(0): 1.0}})
    case = simple_case(SMALL, row)
    case.columns[SMALL.branch(1)] = np.nan
    found = run(case, kernel_device).registers(0)[0]
    np.testing.assert_array_equal(bits(found), bits(case.columns[SMALL.branch(0)]))


def test_all_registers_change_at_once_from_the_old_ones(kernel_device):
    rows = {SMALL.register_row(k): {(k + 1) % 4: 1.0} for k in range(4)}
    case = simple_case(SMALL, simple(SMALL, rows))
    found = run(case, kernel_device).registers(0)
    np.testing.assert_array_equal(found, case.columns[[1, 2, 3, 0]])
