"""Slots that break, are left and taken again, while the host hears of the device one tick late."""

import pytest

from denoisert.runtime.errors import Cancelled, NonFinite
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.solvers import DDIM
from tests.runtime.devices.torch.pointwise import pointwise
from tests.runtime.devices.torch_places import assert_same, torch_alone, torch_pool, torch_run
from tests.runtime.samplers import flow_table
from tests.runtime.spies import finish, work

BAD = 7
GONE = Cancelled("the caller has gone.")
SIX = flow_table(steps=6, shift=1.0)


def test_only_the_slot_that_became_nan_fails(breaking, kernel_device):
    """The right stage is named, those behind it run in its slot, those beside it go on."""
    ruled = flow_table(DDIM(eta=1.0), 4, CFG(3.0, rescale=0.7))
    works = [
        work(ruled, (1, 3), seed=1),
        work(SIX, (BAD,), seed=99, image=2),
        work(flow_table(steps=2), (2,), seed=4),
    ]
    outcomes = torch_run(breaking, works, kernel_device, slots=2)
    assert isinstance(outcomes[1].error, NonFinite)
    assert outcomes[1].latent is None
    message = str(outcomes[1].error)
    assert "picture 2 of seed 99 became NaN or infinite at stage 3 of 6" in message
    for index in (0, 2):
        assert_same(outcomes[index], torch_alone(breaking, works[index], kernel_device))


def test_it_is_known_one_tick_late_at_most(breaking, kernel_device):
    pool = torch_pool(breaking, kernel_device, slots=2)
    bad = pool.submit(work(SIX, (BAD,)))
    pool.submit(work(flow_table(steps=5), (1,)))
    known = 0
    while bad not in pool.outcomes:
        tick(pool)
        known += 1
    assert known == 4
    finish(pool)


@pytest.mark.parametrize("stage", [5, 6])
def test_the_last_rows_are_not_lost(placed, kernel_device, stage):
    """No further tick would tell; nobody gets a picture of NaN."""
    toy = pointwise(breaks=(BAD, (7 - stage) / 6))
    (found,) = torch_run(placed(toy, kernel_device), [work(SIX, (BAD,))], kernel_device)
    assert found.latent is None
    assert f"at stage {stage} of 6" in str(found.error)


def test_the_status_of_a_cancelled_work_does_not_reach_who_comes_after(breaking, kernel_device):
    pool = torch_pool(breaking, kernel_device, slots=1)
    bad = pool.submit(work(SIX, (BAD,)))
    for _ in range(3):
        tick(pool)
    assert pool.cancel(bad, GONE)
    each = work(flow_table(steps=3), (2,), seed=5)
    after = pool.submit(each)
    finish(pool)
    assert pool.take(bad).error is GONE
    assert_same(pool.take(after), torch_alone(breaking, each, kernel_device))


@pytest.mark.parametrize("ticks", [0, 1, 2])
def test_a_cancelled_work_leaves_at_once(steady, kernel_device, ticks):
    """Waiting, running, running further; its slot is free in the next tick."""
    pool = torch_pool(steady, kernel_device, slots=2)
    works = [work(flow_table(steps=4), (seed, 1), seed=seed) for seed in range(3)]
    numbers = [pool.submit(each) for each in works]
    for _ in range(ticks):
        tick(pool)
    assert pool.cancel(numbers[0], GONE)
    tick(pool)
    assert pool.running == (numbers[2], numbers[1]) if ticks else tuple(numbers[1:])
    finish(pool)
    assert pool.take(numbers[0]).error is GONE
    for number, each in zip(numbers[1:], works[1:], strict=True):
        assert_same(pool.take(number), torch_alone(steady, each, kernel_device))


def test_a_stage_that_breaks_shows_nothing(breaking, kernel_device):
    """A preview waits for the device anyhow, so what it shows is known to be finite."""
    table = flow_table(steps=6, shift=1.0, previews=1)
    pool = torch_pool(breaking, kernel_device, slots=1)
    bad = pool.submit(work(table, (BAD,), previews=1))
    finish(pool)
    assert isinstance(pool.take(bad).error, NonFinite)
    assert [shown.step for shown in pool.previews] == [1, 2]


def test_a_pool_idles_and_wakes(steady, kernel_device):
    """Idle ticks in between, all cancelled in between, cleared in between."""
    pool = torch_pool(steady, kernel_device, slots=2)
    each = work(flow_table(DDIM(eta=1.0), 3, CFG(2.0)), (4, 1), seed=3)
    wanted = torch_alone(steady, each, kernel_device)
    assert tick(pool).slots == 0
    for _ in range(2):
        other = pool.submit(work(flow_table(steps=9), (2, 1)))
        number = pool.submit(each)
        tick(pool)
        pool.cancel(other, GONE)
        finish(pool)
        assert tick(pool).slots == 0
        assert_same(pool.take(number), wanted)
        pool.clear()


@pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "busy"])
def test_warming_disturbs_nobody(steady, kernel_device, is_busy):
    pool = torch_pool(steady, kernel_device, slots=2)
    table = flow_table(DDIM(eta=1.0), 4, CFG(2.0, rescale=0.5))
    works = [work(table, (4, s), seed=s) for s in range(2)]
    numbers = [pool.submit(each) for each in works]
    for _ in range(2 * is_busy):
        tick(pool)
    pool.warm()
    finish(pool)
    for number, each in zip(numbers, works, strict=True):
        assert_same(pool.take(number), torch_alone(steady, each, kernel_device))


def test_pools_take_turns(placed, steady, kernel_device):
    """In one thread, each on an engine and a stream of its own."""
    works = [work(flow_table(DDIM(eta=1.0), 3), (label, 1), seed=label) for label in (2, 5)]
    denoisers = [placed(pointwise(), kernel_device) for _ in works]
    pools = [torch_pool(each, kernel_device, slots=1) for each in denoisers]
    for pool, each in zip(pools, works, strict=True):
        pool.submit(each)
    while not all(pool.is_idle for pool in pools):
        for pool in pools:
            tick(pool)
    for pool, each in zip(pools, works, strict=True):
        assert_same(pool.take(0), torch_alone(steady, each, kernel_device))
