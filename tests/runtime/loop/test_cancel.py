"""Cancelling between ticks: waiting, in the prologue, running, parked, ended."""

import numpy as np
import pytest

from denoisert.runtime.errors import Cancelled, DeadlineExceeded, OutOfMemory
from denoisert.runtime.loop.tick import tick
from tests.runtime.samplers import flow_table, wide_table
from tests.runtime.spies import alone, finish, pool_of, spied, work

GONE = Cancelled("the caller has gone.")


def leases(pool):
    return sum(lease.references for lease in pool._seats.arena.leases)


def filled(denoiser, count=4, slots=2, steps=5):
    pool = pool_of(denoiser, slots=slots)
    works = [work(flow_table(steps=steps), (seed, 1), seed=seed) for seed in range(count)]
    return pool, works, [pool.submit(each) for each in works]


def assert_others_are_whole(denoiser, pool, works, numbers, gone):
    for each, number in zip(works, numbers, strict=True):
        if number != gone:
            assert np.array_equal(pool.take(number).latent, alone(denoiser, each).latent)
    assert not pool.outcomes
    assert leases(pool) == 0


@pytest.mark.parametrize("ticks", [0, 1, 3])
@pytest.mark.parametrize("index", range(4))
def test_one_of_four_goes_and_the_others_stay(denoiser, index, ticks):
    pool, works, numbers = filled(denoiser)
    for _ in range(ticks):
        tick(pool)
    was_running = numbers[index] in pool.running
    assert pool.cancel(numbers[index], GONE)
    assert numbers[index] not in pool.running
    assert pool.take(numbers[index]).error is GONE
    tick(pool)
    assert len(pool.running) == 2  # a freed slot is filled in the next tick
    assert was_running == (ticks > 0 and index < 2)
    finish(pool)
    assert_others_are_whole(denoiser, pool, works, numbers, numbers[index])


def test_cancelled_in_the_prologue(denoiser):
    """Admitted, its first noise drawn, no evaluation yet."""
    watched, spy = spied(denoiser)
    pool, works, numbers = filled(watched)
    pool.admit()
    assert pool.running == tuple(numbers[:2])
    assert pool.progress(numbers[1]) == (0, 5, 0, 5)
    assert pool.cancel(numbers[1], GONE)
    assert spy.runs == []
    tick(pool)
    assert pool.running == (numbers[0], numbers[2])
    assert pool.take(numbers[1]).error is GONE
    finish(pool)
    assert_others_are_whole(denoiser, pool, works, numbers, numbers[1])


def test_a_cancelled_lane_is_not_evaluated_again(denoiser):
    watched, spy = spied(denoiser)
    pool, _, numbers = filled(watched, count=2)
    tick(pool)
    pool.cancel(numbers[0], GONE)
    tick(pool)
    assert (pool.lanes, spy.runs) == (1, [2, 1])
    pool.cancel(numbers[1], GONE)
    assert pool.is_idle
    tick(pool)
    assert (pool.lanes, spy.runs) == (0, [2, 1])


def test_a_parked_work_can_be_cancelled(denoiser):
    pool, works, numbers = filled(denoiser, count=2)
    tick(pool)
    urgent = pool.submit(work(flow_table(steps=3), priority=1))
    tick(pool)
    assert [waiter.number for waiter in pool.waiting] == [numbers[1]]
    assert pool.cancel(numbers[1], GONE)
    assert pool.take(numbers[1]).error is GONE
    assert not pool.waiting
    finish(pool)
    assert pool.take(urgent).error is None
    assert_others_are_whole(denoiser, pool, works, numbers, numbers[1])


def test_the_urgent_one_can_be_cancelled_and_the_parked_one_comes_back(denoiser):
    pool, works, numbers = filled(denoiser, count=2)
    tick(pool)
    urgent = pool.submit(work(flow_table(steps=9), priority=1))
    tick(pool)
    error = DeadlineExceeded("too late.")
    assert pool.cancel(urgent, error)
    tick(pool)
    assert pool.running == tuple(numbers)
    assert pool.take(urgent).error is error
    finish(pool)
    assert_others_are_whole(denoiser, pool, works, numbers, urgent)


def test_whoever_stood_behind_a_cancelled_one_comes_at_once(denoiser):
    """The head of the queue waits for rows, a smaller table waits behind it for its turn."""
    pool = pool_of(denoiser, slots=3, arena_rows=12)
    pool.submit(work(flow_table(steps=8)))
    large, small = (pool.submit(work(flow_table(steps=steps))) for steps in (9, 2))
    tick(pool)
    tick(pool)
    assert [waiter.number for waiter in pool.waiting] == [large, small]
    pool.cancel(large, GONE)
    tick(pool)
    assert small in pool.running


def test_what_has_ended_stays_as_it_is(denoiser):
    pool, works, numbers = filled(denoiser, count=1)
    finish(pool)
    assert not pool.cancel(numbers[0], GONE)
    assert not pool.cancel(77, GONE)
    assert pool.outcomes[numbers[0]].error is None
    assert not pool.cancel(numbers[0], GONE)
    assert_others_are_whole(denoiser, pool, works, numbers, None)


def test_a_cancelled_work_ends_once(denoiser):
    pool, _, numbers = filled(denoiser, count=3)
    tick(pool)
    for number in numbers:
        assert pool.cancel(number, GONE)
        assert not pool.cancel(number, GONE)
    assert pool.is_idle
    assert sorted(pool.outcomes) == numbers
    assert leases(pool) == 0
    with pytest.raises(KeyError):
        pool.progress(numbers[0])


def test_a_work_that_finds_no_memory_ends_alone(denoiser):
    """The column space cannot grow: that work ends, everybody else goes on, later ones fit."""
    pool, works, numbers = filled(denoiser, count=3)
    tick(pool)
    grow = pool.memory.grow

    def refused(form, lanes):
        raise MemoryError("injected: nothing left")

    pool.memory.grow = refused
    wide = pool.submit(work(wide_table(5), (1, 2), priority=1))
    tick(pool)
    outcome = pool.take(wide)
    assert isinstance(outcome.error, OutOfMemory)
    assert "injected: nothing left" in str(outcome.error)
    pool.memory.grow = grow
    again = pool.submit(work(wide_table(5), (1, 2)))
    finish(pool)
    assert np.array_equal(
        pool.take(again).latent, alone(denoiser, work(wide_table(5), (1, 2))).latent
    )
    assert_others_are_whole(denoiser, pool, works, numbers, None)


def test_a_space_that_finds_no_memory_leaves_the_old_one(denoiser, monkeypatch):
    """The machine refuses in the middle of growing; what runs goes on bit for bit."""
    pool, works, numbers = filled(denoiser, count=2)
    tick(pool)
    form = pool.memory.form
    with monkeypatch.context() as patch:

        def refused(*_):
            raise MemoryError("injected")

        patch.setattr("denoisert.runtime.devices.numpy.LaneBuffers", refused)
        wide = pool.submit(work(wide_table(5), (1, 2), priority=1))
        tick(pool)
    assert isinstance(pool.take(wide).error, OutOfMemory)
    assert pool.memory.form == form
    finish(pool)
    assert_others_are_whole(denoiser, pool, works, numbers, None)
