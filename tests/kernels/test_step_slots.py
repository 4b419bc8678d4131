"""Slots of a pool on a device: none knows another, each counts its rows and knows its last."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from denoisert.kernels.step import launch
from denoisert.kernels.step.encode import Surroundings
from denoisert.kernels.step.record import ARRIVED, COUNTER, FORMS, IDLE, OFFSET, STATUS
from denoisert.kernels.step.variants import BLOCK
from tests.kernels.step_check import check, run, simple, simple_case
from tests.kernels.step_rows import random_case, write_case
from tests.kernels.step_space import POISON, enter, place, write_row

SMALL, MIDDLE, LARGE = FORMS


def test_slots_run_their_own_rows_and_idle_ones_nothing(kernel_device):
    """Three slots with other tables, counters and seeds between two idle ones."""
    cases = {
        1: random_case(1, SMALL, 30),
        2: random_case(2, SMALL, 30),
        4: random_case(4, SMALL, 30),
    }
    where = place(SMALL, kernel_device, slots=6, elements=30)
    offsets = {1: 0, 2: 3, 4: 6}
    for slot, case in cases.items():
        write_case(where, slot, case, offset=offsets[slot], counter=slot % 2)
    before = where.snapshot()
    launch.step(where.space)
    after = where.snapshot()
    for slot, case in cases.items():
        check(where, slot, case)
        assert where.state(slot)[:2] == [offsets[slot], slot % 2 + 1]
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old[[0, 3, 5]], new[[0, 3, 5]])


def test_one_slot_can_run_alone(kernel_device):
    cases = [random_case(seed, SMALL, 30) for seed in (1, 2, 3)]
    together, alone = (place(SMALL, kernel_device, slots=3, elements=30) for _ in range(2))
    for where in (together, alone):
        for slot, case in enumerate(cases):
            write_case(where, slot, case, offset=2 * slot)
    before = alone.snapshot()
    launch.step(alone.space, slot=1)
    launch.step(together.space)
    for old, new, wanted in zip(before, alone.snapshot(), together.snapshot(), strict=True):
        assert torch.equal(new[[0, 2]], old[[0, 2]])
        assert torch.equal(new[1], wanted[1])
    check(alone, 1, cases[1])


def test_slots_do_not_know_each_other(kernel_device):
    """Permuting slots permutes the result bit for bit, and their number changes nothing."""
    cases = [random_case(seed, SMALL, 30) for seed in (1, 2, 3)]

    def result(order, slots):
        where = place(SMALL, kernel_device, slots=slots, elements=30)
        for slot, number in enumerate(order):
            write_case(where, slot, cases[number], offset=2 * number)
        launch.step(where.space)
        return [part[: len(order)] for part in where.snapshot()]

    once, moved, alone = result((0, 1, 2), 3), result((2, 0, 1), 5), result((1,), 1)
    for one, other, single in zip(once, moved, alone, strict=True):
        assert torch.equal(one[[2, 0, 1]], other)
        assert torch.equal(one[[1]], single)


def test_the_counter_advances_once_a_launch_and_the_last_row_ends_the_work(kernel_device):
    """Three rows in many tiles, each doubling R_0; a fourth launch finds nothing to do."""
    elements = 2 * BLOCK + 5
    where = place(
        SMALL, kernel_device, elements=elements, bounds=((0, 7), (7, 500), (500, elements))
    )
    row = simple(SMALL, {SMALL.register_row(0): {0: 2.0}})
    case = simple_case(SMALL, row, elements=elements)
    for index in (1, 2, 3):
        write_row(where, index, row, Surroundings(is_followed=index < 3))
    enter(where, 0, offset=1, columns=case.columns)
    for done in (1, 2, 3):
        launch.step(where.space)
        np.testing.assert_array_equal(where.registers(0)[0], case.columns[0] * 2.0**done)
        state = where.state(0)
        assert (state[COUNTER], state[ARRIVED]) == (done, 0)
        assert state[OFFSET] == (1 if done < 3 else IDLE)
    before = where.snapshot()
    launch.step(where.space)
    for old, new in zip(before, where.snapshot(), strict=True):
        assert torch.equal(old, new)


def test_the_last_row_feeds_no_lane(kernel_device):
    case = random_case(1, SMALL, 24)
    case = replace(case, around=case.around._replace(is_followed=False))
    where = run(case, kernel_device)
    assert torch.isnan(where.inputs).all()
    assert (where.times == torch.tensor(POISON)).all()
    assert where.state(0)[:2] == [IDLE, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_status_is_the_first_row_whose_pending_input_is_not_finite(value, kernel_device):
    """Row 2 has NaN in a register that is not pending, row 3 and 4 in the pending one."""
    where = place(SMALL, kernel_device, elements=BLOCK + 9)
    row = simple(SMALL, {SMALL.register_row(1): {1: 1.0}})
    case = simple_case(SMALL, row, elements=BLOCK + 9)
    case.columns[2, BLOCK + 3] = value
    for index, pending in enumerate((0, 1, 3, 2, 2)):
        write_row(where, index + 1, row, Surroundings(pending=pending, is_followed=True))
    enter(where, 0, offset=1, columns=case.columns)
    seen = []
    for _ in range(5):
        launch.step(where.space)
        seen.append(where.state(0)[STATUS])
    assert seen == [0, 0, 0, 3, 3]
