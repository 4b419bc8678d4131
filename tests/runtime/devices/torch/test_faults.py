"""Who fails when the device or the engine does, and with what; everybody else goes on."""

from itertools import count

import numpy as np
import pytest
import torch

from denoisert.runtime.errors import CaptureError, DeviceLost, EngineError, OutOfMemory
from denoisert.runtime.loop.graphs import Eager
from denoisert.runtime.loop.tick import tick
from tests.runtime.devices.torch_places import (
    assert_same,
    torch_alone,
    torch_pool,
    torch_spied,
)
from tests.runtime.samplers import flow_table, wide_table
from tests.runtime.spies import finish, work

FULL = torch.OutOfMemoryError("injected: 2 GiB asked for")
FAILED = RuntimeError("injected: CUDA error: launch failure")


def refuse(stage, error, after=0):
    """The stage has no memory any more, from its call number `after` on; a way to undo that."""
    zeros, calls = stage.zeros, count()

    def zeros_or_error(*shape, **options):
        if next(calls) >= after:
            raise error
        return zeros(*shape, **options)

    stage.zeros = zeros_or_error
    return lambda: setattr(stage, "zeros", zeros)


@pytest.mark.parametrize(
    ("error", "kind", "after"),
    [(FULL, OutOfMemory, 0), (FAILED, EngineError, 3), (FULL, OutOfMemory, 9)],
)
def test_a_work_that_finds_no_room_ends_alone(steady, kernel_device, error, kind, after):
    """In the middle of a larger space; the old one stays, the same work fits later."""
    pool = torch_pool(steady, kernel_device, slots=2)
    each = work(flow_table(steps=3), (3, 1), seed=2)
    number = pool.submit(each)
    tick(pool)
    form = pool.memory.form
    allow = refuse(pool.memory._stage, error, after)
    wide = work(wide_table(3, 1, taps=2), seed=3)
    refused = pool.submit(wide)
    tick(pool)
    outcome = pool.take(refused)
    assert type(outcome.error) is kind
    assert "injected" in str(outcome.error)
    assert pool.memory.form == form
    allow()
    fits = pool.submit(wide)
    finish(pool)
    for found, wanted in ((number, each), (fits, wide)):
        assert_same(pool.take(found), torch_alone(steady, wanted, kernel_device))
    assert all(lease.references == 0 for lease in pool._seats.arena.leases)


def test_tapes_that_find_no_room_end_their_work_alone(steady, kernel_device):
    pool = torch_pool(steady, kernel_device, slots=3)
    first, second = (work(wide_table(3, 2, taps=1), seed=seed) for seed in (3, 4))
    number = pool.submit(first)
    tick(pool)
    allow = refuse(pool.memory._stage, FULL)
    refused = pool.submit(second)
    tick(pool)
    assert isinstance(pool.take(refused).error, OutOfMemory)
    allow()
    again = pool.submit(second)
    finish(pool)
    for found, wanted in ((number, first), (again, second)):
        assert_same(pool.take(found), torch_alone(steady, wanted, kernel_device))


@pytest.mark.parametrize(
    ("error", "kind"),
    [(EngineError("injected"), EngineError), (FAILED, EngineError), (FULL, OutOfMemory)],
    ids=["engine", "torch", "memory"],
)
def test_a_failing_tick_ends_what_ran_with_one_error(steady, kernel_device, error, kind):
    failing = iter([False, True])

    def before(buffers):
        if next(failing, False):
            raise error

    spied, _ = torch_spied(steady, before=before)
    pool = torch_pool(spied, kernel_device, slots=2)
    works = [work(flow_table(steps=3), (seed, 1), seed=seed) for seed in range(3)]
    numbers = [pool.submit(each) for each in works]
    finish(pool)
    outcomes = [pool.take(number) for number in numbers]
    assert type(outcomes[0].error) is kind
    assert outcomes[0].error is outcomes[1].error
    assert "injected" in str(outcomes[0].error)
    assert_same(outcomes[2], torch_alone(steady, works[2], kernel_device))


def test_an_engine_that_cannot_be_bound_ends_what_asked_for_it(steady, kernel_device):
    spied, spy = torch_spied(steady)
    pool = torch_pool(spied, kernel_device, slots=2)
    bind = spy.engine.bind
    spy.bind = lambda bucket, buffers: (_ for _ in ()).throw(FULL)
    number = pool.submit(work(flow_table(steps=2)))
    finish(pool)
    assert isinstance(pool.take(number).error, OutOfMemory)
    spy.bind = bind
    each = work(flow_table(steps=2), seed=3)
    again = pool.submit(each)
    finish(pool)
    assert_same(pool.take(again), torch_alone(steady, each, kernel_device))


class Uncapturable(Eager):
    """Rounds whose second one cannot be captured."""

    def __init__(self):
        self.failing = iter([False, True])

    def run(self, key, launch):
        super().run(key, launch)
        if next(self.failing, False):
            raise CaptureError("injected: a tick cannot be captured.")


def test_a_tick_that_cannot_be_captured_says_so(steady, kernel_device):
    pool = torch_pool(steady, kernel_device, slots=1)
    pool.memory._rounds = Uncapturable()
    works = [work(flow_table(steps=3), (seed, 1), seed=seed) for seed in range(2)]
    numbers = [pool.submit(each) for each in works]
    finish(pool)
    assert isinstance(pool.take(numbers[0]).error, CaptureError)
    assert_same(pool.take(numbers[1]), torch_alone(steady, works[1], kernel_device))


def test_a_lost_device_is_not_survived(steady, kernel_device):
    """`tick` passes it on: no work behind these fares better."""
    spied, _ = torch_spied(steady, before=lambda _: (_ for _ in ()).throw(FAILED))
    pool = torch_pool(spied, kernel_device, slots=1)
    pool.memory._stage._failure = lambda what, error: DeviceLost(f"{what}: {error}")
    pool.submit(work(flow_table(steps=2)))
    with pytest.raises(DeviceLost, match="a tick: injected"):
        tick(pool)
    refuse(pool.memory._stage, FAILED)
    pool.submit(work(wide_table(3, 2, taps=1), priority=1))
    with pytest.raises(DeviceLost, match="a slot: injected"):
        tick(pool)


def test_what_a_failed_tick_leaves_in_the_slots_is_idle(steady, kernel_device):
    """The rounds after it do not go on with works that have ended."""
    spied, _ = torch_spied(steady, failing={1})
    pool = torch_pool(spied, kernel_device, slots=2)
    for seed in range(2):
        pool.submit(work(flow_table(steps=9), seed=seed))
    tick(pool)
    assert tick(pool).slots == 0
    states = pool.memory._stage.download(pool.memory._space.states)
    assert np.array_equal(states[:, 0], [-1, -1])
