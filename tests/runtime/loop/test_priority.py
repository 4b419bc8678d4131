"""Who gets a slot, who makes way and who comes back: order, ties, the arena, no starvation."""

from itertools import pairwise

import numpy as np
import pytest

from denoisert.runtime.loop.tick import tick
from tests.runtime.samplers import flow_table
from tests.runtime.spies import alone, finish, pool_of, work


def submit(pool, priority=0, steps=6, seed=0):
    return pool.submit(work(flow_table(steps=steps), seed=seed, priority=priority))


def waiting(pool):
    return [waiter.number for waiter in pool.waiting]


def test_free_slots_go_to_the_highest_priority_first(denoiser):
    pool = pool_of(denoiser, slots=2)
    low, high, middle = (submit(pool, priority) for priority in (-1, 5, 2))
    tick(pool)
    assert pool.running == (high, middle)
    assert waiting(pool) == [low]
    assert pool.parked == 0


def test_the_lowest_priority_makes_way_and_the_youngest_of_equals(denoiser):
    pool = pool_of(denoiser, slots=4)
    running = [submit(pool, priority) for priority in (1, 0, 2, 0)]
    tick(pool)
    urgent = submit(pool, 3)
    tick(pool)
    assert set(pool.running) == {running[0], running[1], running[2], urgent}
    assert waiting(pool) == [running[3]]
    submit(pool, 3)
    submit(pool, 3)
    tick(pool)
    assert waiting(pool) == [running[0], running[1], running[3]]
    assert pool.parked == 3


def test_equals_never_make_way_for_each_other(denoiser):
    pool = pool_of(denoiser, slots=2)
    first = [submit(pool, 1) for _ in range(2)]
    tick(pool)
    later = [submit(pool, 1) for _ in range(3)]
    for _ in range(4):
        tick(pool)
        assert pool.running == tuple(first)
    finish(pool)
    assert pool.parked == 0
    assert sorted(pool.outcomes) == first + later


def test_a_parked_work_comes_back_into_any_free_slot_before_later_equals(denoiser):
    pool = pool_of(denoiser, slots=2)
    old, young = submit(pool, steps=12), submit(pool, steps=12, seed=1)
    for _ in range(3):
        tick(pool)
    urgent = submit(pool, 1, steps=4)
    later = submit(pool, steps=2)
    tick(pool)
    assert set(pool.running) == {old, urgent}
    assert waiting(pool) == [young, later]
    assert pool.progress(young) == (3, 12, 3, 12)
    for _ in range(4):
        tick(pool)
    assert set(pool.running) == {old, young}
    assert waiting(pool) == [later]
    finish(pool)
    wanted = alone(denoiser, work(flow_table(steps=12), seed=1))
    assert np.array_equal(pool.take(young).latent, wanted.latent)


def test_a_work_may_be_parked_many_times_and_in_every_row(denoiser):
    each = work(flow_table(steps=9), seed=3)
    pool = pool_of(denoiser, slots=1)
    number = pool.submit(each)
    while not pool.is_idle:
        tick(pool)
        if number not in pool.outcomes:
            submit(pool, 1, steps=1)
            tick(pool)
    assert pool.parked == 8
    assert np.array_equal(pool.take(number).latent, alone(denoiser, each).latent)


def test_nested_parking_unwinds_in_order(denoiser):
    pool = pool_of(denoiser, slots=1)
    numbers = []
    for priority in range(5):
        numbers.append(submit(pool, priority, steps=3, seed=priority))
        tick(pool)
    ended = []
    while not pool.is_idle:
        tick(pool)
        ended += [number for number in pool.outcomes if number not in ended]
    assert ended == numbers[::-1]
    assert pool.parked == 4
    for priority, number in enumerate(numbers):
        wanted = alone(denoiser, work(flow_table(steps=3), seed=priority))
        assert np.array_equal(pool.take(number).latent, wanted.latent)


def test_equals_end_in_the_order_in_which_they_came(denoiser):
    """However often an urgent one interferes: no starvation, no overtaking."""
    rng = np.random.default_rng(4)
    pool, seen = pool_of(denoiser, slots=2), []
    calm = [submit(pool, steps=5, seed=i) for i in range(12)]
    for _ in range(60):
        if rng.random() < 0.3:
            submit(pool, 1, steps=2)
        tick(pool)
        seen += [n for n in calm if n in pool.outcomes and n not in seen]
    finish(pool)
    assert all(later > number for number, later in pairwise(seen))
    assert sorted(pool.outcomes)[: len(calm)] == calm
    assert pool.parked > 0


def test_rows_make_way_too(denoiser):
    """Slots are free, the arena is full of a lower priority's rows: they are given up."""
    pool = pool_of(denoiser, slots=4, arena_rows=12)
    low = [submit(pool, 0, steps=4), submit(pool, 0, steps=6)]
    tick(pool)
    urgent = submit(pool, 1, steps=5)
    tick(pool)
    assert urgent in pool.running
    assert waiting(pool) == [low[1]]
    finish(pool)
    assert sorted(pool.outcomes) == [*low, urgent]


def test_nothing_is_parked_in_vain(denoiser):
    """Even without the lower one there would be no room: it goes on."""
    pool = pool_of(denoiser, slots=3, arena_rows=12)
    high, low = submit(pool, 2, steps=8), submit(pool, 0, steps=1)
    tick(pool)
    submit(pool, 1, steps=6)
    tick(pool)
    assert pool.parked == 0
    assert low in pool.outcomes
    finish(pool)
    assert pool.outcomes[high].error is None


def test_shared_rows_are_freed_only_with_the_last_of_their_slots(denoiser):
    pool = pool_of(denoiser, slots=4, arena_rows=12)
    low = [submit(pool, 0, steps=9, seed=i) for i in range(3)]
    tick(pool)
    urgent = submit(pool, 1, steps=5)
    tick(pool)
    assert pool.running == (urgent,)
    assert waiting(pool) == low
    finish(pool)
    for seed, number in enumerate(low):
        wanted = alone(denoiser, work(flow_table(steps=9), seed=seed))
        assert np.array_equal(pool.take(number).latent, wanted.latent)


@pytest.mark.parametrize("slots", [1, 3])
def test_a_full_queue_of_lower_priorities_costs_no_parking(denoiser, slots):
    pool = pool_of(denoiser, slots=slots)
    for index in range(12):
        submit(pool, -index, steps=2)
    finish(pool)
    assert pool.parked == 0
    assert len(pool.outcomes) == 12
