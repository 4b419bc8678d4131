"""What runs around the update: rule vectors, arguments of quantiles, inputs of a new lane map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from denoisert.kernels.step import launch, reference
from denoisert.kernels.step.encode import Surroundings
from denoisert.kernels.step.form import VECTORS
from denoisert.kernels.step.record import FORMS, IDLE, OFFSET
from denoisert.kernels.step.row import Operation
from tests.kernels.step_check import check_lanes, simple, simple_case
from tests.kernels.step_rows import column_errors, errors_of, random_case, truth_of, write_case
from tests.kernels.step_space import POISON, place

SMALL, MIDDLE, LARGE = FORMS
RULE_ARGS = np.arange(8) / 8


def vectors_of(where, device):
    """Run the pass over all slots; its outputs begin as poison."""
    slots, pitch = len(where.space.states), where.space.pitch
    out = torch.full((slots, VECTORS, pitch), POISON, device=device)
    counts, rules = torch.full((2, slots), 77, dtype=torch.int32, device=device)
    args = torch.full((slots, 8), POISON, dtype=torch.float64, device=device)
    launch.vectors(where.space, out, counts=counts, rules=rules, args=args)
    return [each.cpu().numpy() for each in (out, counts, rules, args)]


def ruled_case(form, *, elements=40, dtype=torch.float32):
    """A random row with a rule of all four vectors' number."""
    for seed in range(20):
        case = random_case(seed, form, elements, dtype=dtype)
        if case.row.vectors is not None and len(case.row.vectors.coefficients) == VECTORS:
            return replace(case, around=case.around._replace(rule=(2, VECTORS)))
    raise AssertionError("no row of 20 has four vectors")


@pytest.mark.parametrize(
    ("form", "dtype"),
    [(SMALL, torch.float16), (MIDDLE, torch.float32), (LARGE, torch.bfloat16)],
)
def test_vectors_equal_the_reference(form, dtype, kernel_device):
    """Slot 1 has a rule; slot 0 is idle, and slot 2 has a row without one."""
    case = ruled_case(form, dtype=dtype)
    where = place(form, kernel_device, slots=3, bounds=((0, 7), (7, 40)), dtype=dtype)
    write_case(where, 1, case, offset=1)
    write_case(where, 2, replace(case, around=case.around._replace(rule=(0, 0))), offset=4)
    where.space.rows[2][1] = torch.from_numpy(RULE_ARGS)
    before = where.snapshot()
    out, counts, rules, args = vectors_of(where, kernel_device)
    assert counts.tolist() == [0, VECTORS, 0]
    assert rules.tolist() == [0, 2, 0]
    np.testing.assert_array_equal(args[1], RULE_ARGS)
    assert (args[[0, 2]] == POISON).all()
    z = case.columns.astype(np.float64)
    bound = errors_of(z, column_errors(case), case.row.vectors)
    wanted = reference.combine(z, case.row.vectors)
    assert (np.abs(out[1, :, :40] - wanted) <= bound).all()
    out[1, :, :40] = POISON
    assert (out == np.float32(POISON)).all()
    for old, new in zip(before, where.snapshot(), strict=True):
        assert torch.equal(old, new)


def test_a_vector_without_terms_is_zero_and_those_behind_stay(kernel_device):
    """Rules read as many vectors as the row says, whatever was there before."""
    rows = {0: {0: 1.0}, 2: {1: 2.0}, SMALL.register_row(0): {SMALL.guided: 1.0}}
    case = simple_case(SMALL, simple(SMALL, rows), around=Surroundings(rule=(1, 3)))
    where = place(SMALL, kernel_device, elements=8)
    write_case(where, 0, case)
    out, counts, _, _ = vectors_of(where, kernel_device)
    assert counts.tolist() == [3]
    zero = np.zeros(8)
    np.testing.assert_array_equal(out[0, :3, :8], [case.columns[0], zero, 2 * case.columns[1]])
    assert (out[0, 3] == np.float32(POISON)).all()


def argument_of(where, order, device):
    slots = len(where.space.states)
    values = torch.full((slots, where.space.pitch), POISON, device=device)
    ratios = torch.full((slots,), POISON, device=device)
    launch.argument(where.space, order, values, ratios=ratios)
    return values.cpu().numpy(), ratios.cpu().numpy()


@pytest.mark.parametrize("first", [Operation.DYNAMIC_THRESHOLD, Operation.CLIP])
@pytest.mark.parametrize("form", [MIDDLE, LARGE])
def test_arguments_equal_the_reference(form, first, kernel_device):
    """U_0 and, with the threshold of D_0 in place, U_1; slot 0 is idle, slot 2 wants none."""
    wanted_ratio, high = 0.75, 2.0
    case = random_case(3, form, 30, channels=3)
    threshold = (Operation.DYNAMIC_THRESHOLD, wanted_ratio, high)
    pair = (threshold if first == threshold[0] else (first, -0.5, 0.75), threshold)
    case = replace(case, row=case.row._replace(operations=pair))
    plain = replace(case, row=case.row._replace(operations=((Operation.CLIP, -1.0, 1.0),) * 2))
    where = place(form, kernel_device, slots=3, elements=30, channels=3)
    write_case(where, 1, case, offset=1)
    write_case(where, 2, plain, offset=4)
    seen, found = [], [case.thresholds[o] for o in range(2) if pair[o][0] is threshold[0]]

    def quantile(values, ratio):
        assert ratio == wanted_ratio
        seen.append(values)
        return found[len(seen) - 1]

    weights = None if case.weights is None else case.weights.astype(np.float64)
    reference.thresholds(case.columns.astype(np.float64), case.row, quantile, weights=weights)
    for order, operation in enumerate(pair):
        values, ratios = argument_of(where, order, kernel_device)
        if operation[0] != Operation.DYNAMIC_THRESHOLD:
            assert ratios.tolist() == [-1, -1, -1]
            assert (values == np.float32(POISON)).all()
            continue
        assert ratios.tolist() == [-1, wanted_ratio, -1]
        np.testing.assert_allclose(values[1, :30], seen.pop(0), rtol=0, atol=1e-5)
        values[1, :30] = POISON
        assert (values == np.float32(POISON)).all()


@pytest.mark.parametrize("form", [SMALL, MIDDLE])
def test_feeding_writes_what_the_next_row_asks_and_nothing_else(form, kernel_device):
    case = random_case(4, form, 40)
    where = place(form, kernel_device, slots=3, bounds=((0, 7), (7, 40)))
    write_case(where, 1, case, offset=1, counter=1)
    where.space.registers[1, :, :40] = torch.randn(form.registers, 40)
    before = where.snapshot()
    launch.feed(where.space)
    new = where.registers(1).astype(np.float64)
    check_lanes(where, 1, case.around, new, np.zeros_like(new))
    after = where.snapshot()
    for position, name in enumerate(("registers", "inputs", "times", "scalars", "tapes", "state")):
        idle = [0, 2] if name in ("inputs", "times", "scalars") else [0, 1, 2]
        assert torch.equal(before[position][idle], after[position][idle])
    assert where.state(0)[OFFSET] == IDLE


def test_feeding_after_a_row_repeats_what_the_row_fed(kernel_device):
    """A new lane map changes where inputs are, never what they are."""
    case = random_case(6, MIDDLE, 40)
    where = place(MIDDLE, kernel_device, elements=40)
    write_case(where, 0, case)
    launch.step(where.space)
    fed = [part.clone() for part in (where.inputs, where.times, where.scalars)]
    for part in (where.inputs, where.times, where.scalars):
        part.fill_(float("nan") if part is where.inputs else POISON)
    launch.feed(where.space)
    for old, new in zip(fed, (where.inputs, where.times, where.scalars), strict=True):
        np.testing.assert_array_equal(old.float().cpu(), new.float().cpu())


@pytest.mark.parametrize("form", [MIDDLE])
def test_passes_and_update_together_equal_the_reference(form, kernel_device):
    """Thresholds found by the pass, then the row: what a tick does, in the second of two slots."""
    case = random_case(4, form, 30)
    pair = ((Operation.DYNAMIC_THRESHOLD, 0.875, 4.0),) * 2
    case = replace(case, row=case.row._replace(operations=pair), thresholds=(POISON, POISON))
    where = place(form, kernel_device, slots=2, elements=30)
    write_case(where, 1, case)
    found = []
    for order in range(2):
        values, ratios = argument_of(where, order, kernel_device)
        found.append(float(np.quantile(np.abs(values[1, :30]), ratios[1])))
        where.space.found[1][1, order] = found[-1]
    assert min(found) > 1  # a smaller one would not count
    where.space.found[1][0] = 1.0
    launch.step(where.space)
    truth = truth_of(replace(case, thresholds=tuple(found)))
    new = where.registers(1)[list(case.row.targets)]
    assert (np.abs(new - truth.registers) <= truth.register_bounds).all()
