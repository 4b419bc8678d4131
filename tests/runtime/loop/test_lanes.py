"""Which branch sits where, and how few calls serve them."""

from itertools import pairwise

import numpy as np
import pytest

from denoisert.runtime.bundle.card import TimeShape
from denoisert.runtime.loop.asks import Ask, Read, row_asks
from denoisert.runtime.loop.lanes import Call, LaneMap, calls, calls_by_time
from denoisert.runtime.loop.slot import Slot
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.solvers import Heun
from tests.runtime.networks import perceptron
from tests.runtime.samplers import flow_table
from tests.runtime.spies import alone, finish, pool_of, spied, work

ANY = tuple(range(1, 17))


@pytest.mark.parametrize("buckets", [ANY, (1,), (4,), (1, 2, 4, 8), (3, 8)], ids=str)
@pytest.mark.parametrize("lanes", [0, 1, 2, 5, 8, 9, 16, 17, 33])
def test_calls_cover_every_lane_once_with_as_few_as_possible(lanes, buckets):
    found = calls(lanes, buckets, first=2)
    covered = [lane for call in found for lane in range(call.first, call.first + call.lanes)]
    assert covered == list(range(2, 2 + lanes))
    assert len(found) == -(-lanes // buckets[-1])
    for call in found:
        assert call.bucket == min(size for size in buckets if size >= call.lanes)


@pytest.mark.parametrize("seed", range(20))
def test_calls_by_time_group_neighbours_of_equal_time(seed):
    rng = np.random.default_rng(seed)
    times = rng.choice([0.25, 0.5, 0.75], int(rng.integers(1, 30))).tolist()
    found = calls_by_time(times, (1, 2, 4))
    covered = [lane for call in found for lane in range(call.first, call.first + call.lanes)]
    assert covered == list(range(len(times)))
    for call in found:
        assert len(set(times[call.first : call.first + call.lanes])) == 1
    for call, after in pairwise(found):
        assert call.lanes == 4 or times[call.first] != times[after.first]


def test_calls_by_time_of_nothing_and_of_one_time():
    assert calls_by_time([], ANY) == []
    assert calls_by_time([0.5] * 5, ANY) == [Call(0, 5, 5)]


def test_rows_that_ask_the_same_share_one_tuple():
    asks = row_asks(flow_table(steps=5, guidance=CFG(3.0, interval=(0.5, 3.0)), shift=1.0))
    assert asks[0] == ()
    widths = [len(row) for row in asks[1:]]
    assert widths == [1, 1, 2, 2, 1]
    assert asks[1] is asks[2] is asks[5]
    assert asks[3] is asks[4]
    assert asks[3] == (Ask(0, 0, (Read(0, 0),)), Ask(0, 1, (Read(1, 0),)))


def test_a_map_puts_a_slots_branches_side_by_side():
    guided, plain = work(flow_table(guidance=CFG(2.0))), work(flow_table())
    slots = [Slot(4, guided, 0, counter=1), Slot(0, plain, 0, counter=1), Slot(2, guided, 0, 1)]
    (lanes,) = LaneMap.of(slots, 1).lanes
    assert [(lane.slot, lane.position) for lane in lanes] == [
        (4, 0),
        (4, 1),
        (0, 0),
        (2, 0),
        (2, 1),
    ]


def test_slots_know_when_their_lanes_stay():
    slot = Slot(0, work(flow_table(steps=5, guidance=CFG(3.0, interval=(0.5, 3.0)), shift=1.0)), 0)
    kept = []
    for counter in range(1, 6):
        slot.counter = counter
        kept.append(slot.keeps_lanes)
        assert not slot.is_done
    assert kept == [True, False, True, False, False]
    slot.counter = 6
    assert slot.is_done


def test_nothing_is_bound_again_while_the_map_stays(denoiser):
    watched, spy = spied(denoiser)
    pool = pool_of(watched, slots=4)
    for seed in range(4):
        pool.submit(work(flow_table(Heun(), 30, CFG(2.0)), seed=seed))
    for _ in range(50):
        tick(pool)
    assert len(spy.binds) == 1
    assert spy.runs == [8] * 50
    pool.submit(work(flow_table(steps=4), seed=9))
    finish(pool)
    binds = len(spy.binds)
    for seed in range(4):  # the same places and sizes again: all of it is bound already
        pool.submit(work(flow_table(Heun(), 30, CFG(2.0)), seed=seed))
    pool.submit(work(flow_table(steps=4), seed=9))
    finish(pool)
    assert len(spy.binds) == binds


def test_map_is_laid_only_when_it_changes(denoiser):
    pool = pool_of(denoiser, slots=2)
    laid = []
    lay = pool.memory.map_lanes
    pool.memory.map_lanes = lambda lanes, slots: (
        laid.append(len(lanes.lanes[0])),
        lay(lanes, slots),
    )
    pool.submit(work(flow_table(steps=9, guidance=CFG(3.0, interval=(0.5, 3.0)), shift=1.0)))
    pool.submit(work(flow_table(steps=20)))
    finish(pool)
    assert laid == [2, 3, 2, 1]


@pytest.mark.parametrize("batch", [None, 4])
def test_more_lanes_than_the_largest_bucket_mean_several_calls(batch, tmp_path):
    toy = perceptron(batch=batch)
    plain = toy.denoiser(tmp_path)
    watched, spy = spied(plain)
    pool = pool_of(watched, slots=11)
    works = [work(flow_table(steps=3, guidance=CFG(2.0)), (s % 10, 3), seed=s) for s in range(11)]
    numbers = [pool.submit(each) for each in works]
    tick(pool)
    assert spy.runs == ([16, 6] if batch is None else [4] * 6)
    finish(pool)
    for number, each in zip(numbers, works, strict=True):
        assert np.array_equal(pool.take(number).latent, alone(plain, each).latent)


def test_pictures_at_equal_times_share_a_call_of_a_scalar_time_graph(tmp_path):
    toy = perceptron(time=TimeShape.SCALAR)
    watched, spy = spied(toy.denoiser(tmp_path))
    pool = pool_of(watched, slots=4)
    for seed in range(3):
        pool.submit(work(flow_table(steps=4, guidance=CFG(2.0)), seed=seed))
    finish(pool)
    assert spy.runs == [6] * 4
    for steps in (2, 3):
        pool.submit(work(flow_table(steps=steps, guidance=CFG(2.0)), seed=1))
    finish(pool)
    assert spy.runs[4:] == [4, 2, 2, 2]  # only the first time is the same


def test_an_idle_tick_runs_nothing(denoiser):
    watched, spy = spied(denoiser)
    pool = pool_of(watched, slots=2)
    times = tick(pool)
    assert times.slots == 0
    assert spy.runs == []


def test_tick_times_are_ordered_and_count_slots(denoiser):
    pool = pool_of(denoiser, slots=3)
    for seed in range(5):
        pool.submit(work(flow_table(steps=2), seed=seed))
    counts = []
    while not pool.is_idle:
        times = tick(pool)
        assert times.start <= times.engine_start <= times.engine_end <= times.end
        counts.append(times.slots)
    assert counts == [3, 3, 2, 2]
