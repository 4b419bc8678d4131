"""The queue: priority, then number; whoever is parked stands before those who came later."""

import numpy as np
import pytest

from denoisert.runtime.devices.parked import Parked
from denoisert.runtime.loop.waiting import Waiter, Waiting
from tests.runtime.samplers import flow_table
from tests.runtime.spies import work

TABLE = flow_table(steps=3)


def waiter(number, priority=0, counter=None):
    parked = None
    if counter is not None:
        parked = Parked(counter, np.zeros((1, 4), np.float32), np.zeros((1, 4)), ())
    return Waiter(number, work(TABLE, priority=priority), parked)


def numbers(waiting):
    return [each.number for each in waiting]


def test_highest_priority_first_then_the_lowest_number():
    waiting = Waiting()
    for number, priority in enumerate((0, 2, 0, -1, 2, 1)):
        waiting.push(waiter(number, priority))
    assert numbers(waiting) == [1, 4, 5, 0, 2, 3]
    assert waiting.first.number == 1
    assert len(waiting) == 6


def test_a_parked_work_keeps_its_place_among_equals():
    waiting = Waiting()
    for number in (3, 4, 5):
        waiting.push(waiter(number))
    waiting.push(waiter(1, counter=7))
    assert numbers(waiting) == [1, 3, 4, 5]
    assert waiting.first.counter == 7
    assert waiting[3].counter == 0


def test_whoever_is_taken_out_is_gone():
    waiting = Waiting()
    for number, priority in enumerate((0, 1, 0)):
        waiting.push(waiter(number, priority))
    assert waiting.remove(2).number == 2
    assert waiting.remove(2) is None
    assert waiting.remove(9) is None
    assert numbers(waiting) == [1, 0]
    with pytest.raises(KeyError):
        waiting[2]
    waiting.clear()
    assert len(waiting) == 0
    assert not numbers(waiting)


@pytest.mark.parametrize("seed", range(5))
def test_random_use_against_sorting(seed):
    rng = np.random.default_rng(seed)
    waiting, model = Waiting(), {}
    for number in range(200):
        priority = int(rng.integers(-2, 3))
        waiting.push(waiter(number, priority))
        model[number] = priority
        if rng.random() < 0.4:
            gone = int(rng.choice(list(model)))
            assert waiting.remove(gone).work.priority == model.pop(gone)
        assert numbers(waiting) == sorted(model, key=lambda n: (-model[n], n))


def test_a_parked_work_knows_its_memory():
    registers, tapes = np.zeros((3, 10), np.float32), (np.zeros((2, 10), np.float32),)
    assert Parked(4, registers, np.zeros((1, 4)), tapes).nbytes == 120 + 32 + 80
