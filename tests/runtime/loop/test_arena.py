"""The store of rows: places, references, eviction; random use against a simple model."""

import numpy as np
import pytest

from denoisert.runtime.loop.arena import Arena
from denoisert.runtime.loop.tick import tick
from tests.runtime.samplers import flow_table
from tests.runtime.spies import alone, finish, pool_of, spied, work

TABLES = {steps: flow_table(steps=steps) for steps in range(1, 15)}


def place(arena, steps):
    lease, _ = arena.acquire(TABLES[steps])
    return lease


def test_equal_tables_share_a_place():
    arena = Arena(20)
    first, is_new = arena.acquire(flow_table(steps=4))
    again, is_new_again = arena.acquire(flow_table(steps=4))
    assert again is first
    assert (is_new, is_new_again, first.references) == (True, False, 2)
    assert (first.offset, first.end) == (0, 5)


def test_a_full_arena_has_no_room_until_a_table_is_released():
    arena = Arena(10)
    place(arena, 4)
    place(arena, 3)
    assert arena.acquire(TABLES[2]) is None
    arena.release(TABLES[4])
    assert place(arena, 2).offset == 0
    assert [lease.table.stages for lease in arena.leases] == [3, 2]


def test_rows_stay_until_their_place_is_wanted():
    arena = Arena(10)
    place(arena, 4)
    arena.release(TABLES[4])
    _, is_new = arena.acquire(TABLES[4])
    assert not is_new
    arena.release(TABLES[4])
    place(arena, 3)
    assert {lease.table.stages for lease in arena.leases} == {4, 3}
    assert place(arena, 2).offset == 0
    assert {lease.table.stages for lease in arena.leases} == {3, 2}


def test_idle_neighbours_make_room_together():
    arena = Arena(9)
    for steps in (1, 2, 3):
        place(arena, steps)
        arena.release(TABLES[steps])
    assert place(arena, 8).offset == 0
    assert len(arena.leases) == 1


@pytest.mark.parametrize("seed", range(5))
def test_random_use_against_a_model(seed):
    """No two places overlap, none leaves the arena, and a refusal is never unnecessary."""
    rng = np.random.default_rng(seed)
    arena, held = Arena(int(rng.integers(15, 40))), []
    for _ in range(400):
        if held and rng.random() < 0.5:
            arena.release(TABLES[held.pop(int(rng.integers(len(held))))])
        else:
            steps = int(rng.integers(1, 15))
            known = {lease.table.stages for lease in arena.leases}
            found = arena.acquire(TABLES[steps])
            if found is None:
                assert widest_gap(arena, set(held)) < steps + 1
                continue
            assert found[1] == (steps not in known)
            held.append(steps)
        check(arena, held)


def check(arena, held):
    rows = np.zeros(arena.capacity, int)
    for lease in arena.leases:
        assert 0 <= lease.offset < lease.end <= arena.capacity
        rows[lease.offset : lease.end] += 1
        assert lease.references == held.count(lease.table.stages)
    assert rows.max() <= 1
    assert set(held) <= {lease.table.stages for lease in arena.leases}


def widest_gap(arena, held):
    """Most neighbouring rows that no table in use covers."""
    used = np.ones(arena.capacity + 2, bool)
    used[1:-1] = False
    for lease in arena.leases:
        if lease.table.stages in held:
            used[1 + lease.offset : 1 + lease.end] = True
    return int(np.diff(np.flatnonzero(used)).max()) - 1


@pytest.mark.parametrize("seed", range(5))
def test_what_would_fit_is_what_fits_after_giving_back(seed):
    """`fits` changes nothing and says what `acquire` would find on an arena that has given back."""
    rng = np.random.default_rng(seed)
    for _ in range(60):
        arena, held = Arena(int(rng.integers(15, 30))), []
        for steps in rng.integers(1, 15, 6).tolist():
            held += [steps] if arena.acquire(TABLES[steps]) else []
        gone = [steps for steps in held if rng.random() < 0.5]
        wanted = TABLES[int(rng.integers(1, 15))]
        leases = arena.leases
        found = arena.fits(wanted, [TABLES[steps] for steps in gone])
        assert arena.leases == leases
        for steps in gone:
            arena.release(TABLES[steps])
        assert found == (arena.acquire(wanted) is not None)


def test_a_forgotten_place_is_written_again():
    arena = Arena(20)
    arena.acquire(TABLES[4])
    arena.acquire(TABLES[4])
    arena.forget(TABLES[4])
    assert arena.acquire(TABLES[4])[1] is False
    arena.forget(TABLES[4])
    arena.forget(TABLES[4])
    assert arena.leases == ()
    assert arena.acquire(TABLES[4])[1] is True


def test_admission_waits_for_room_and_goes_on(denoiser):
    """Eight free slots, rows for two tables at a time: the third waits, all end, in order."""
    pool = pool_of(denoiser, slots=8, arena_rows=12)
    works = [work(TABLES[steps], seed=steps) for steps in (4, 5, 3, 6, 2, 4)]
    numbers = [pool.submit(each) for each in works]
    tick(pool)
    assert len(pool.active) == 2
    assert [waiter.number for waiter in pool.waiting] == numbers[2:]
    finish(pool)
    for number, each in zip(numbers, works, strict=True):
        assert np.array_equal(pool.take(number).latent, alone(denoiser, each).latent)


def test_evicted_rows_are_written_again(denoiser):
    """Tables overwrite each other's rows at shifted offsets while others keep running."""
    rng = np.random.default_rng(1)
    pool = pool_of(denoiser, slots=3, arena_rows=20)
    works = [work(TABLES[int(s)], seed=i) for i, s in enumerate(rng.integers(1, 15, 60))]
    numbers = [pool.submit(each) for each in works]
    finish(pool)
    for number, each in zip(numbers, works, strict=True):
        assert np.array_equal(pool.take(number).latent, alone(denoiser, each).latent)


def test_a_repeated_table_is_not_written_again(denoiser):
    spy, _ = spied(denoiser)
    pool = pool_of(spy, slots=2)
    written = []
    write = pool.memory.write_rows
    pool.memory.write_rows = lambda lease: (written.append(lease.table.stages), write(lease))
    for steps in (3, 5, 3, 5, 3):
        pool.submit(work(flow_table(steps=steps)))
        finish(pool)
    assert written == [3, 5]
