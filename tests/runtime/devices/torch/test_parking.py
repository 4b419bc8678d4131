"""A parked work ends bit for bit as if it had never stopped; so does one whose space has grown."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.kernels.step.record import FORMS
from denoisert.runtime.errors import NonFinite
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.solvers import DPMpp2M, EulerAncestral
from tests.runtime.devices.torch_places import assert_same, torch_alone, torch_pool
from tests.runtime.loop.test_parking import ThreeBranches, interrupt
from tests.runtime.samplers import flow_table, random_work, wide_table
from tests.runtime.spies import finish, work


def assert_as_alone(denoiser, device, pool, works):
    """Every work of `works`, number -> work, has the bits that it has in a pool of its own."""
    for number, each in works.items():
        assert_same(pool.take(number), torch_alone(denoiser, each, device))


def submitted(pool, works):
    return {pool.submit(each): each for each in works}


def pages_of(names, seed=3):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((2, 64)).astype(np.float32) for name in names}


@pytest.mark.parametrize(
    ("seed", "count", "least"), [(1, 2, 1), pytest.param(2, 16, 4, marks=pytest.mark.slow)]
)
def test_random_interruptions(steady, kernel_device, seed, count, least):
    rng = np.random.default_rng(seed)
    works = []
    while len(works) < count:
        each, _ = random_work(rng)
        if count > 2 or 2 < each.table.stages < 5:
            works.append(each)
    pool = torch_pool(steady, kernel_device, slots=2)
    urgent = flow_table(steps=1)
    for each, found in interrupt(pool, works, rng, lambda: random_work(rng, urgent)[0], 0.3):
        assert_same(found, torch_alone(steady, each, kernel_device))
    assert pool.parked >= least


def small_works():
    """A history, drawn noise under a rule, and an external beside a tape."""
    return [
        work(flow_table(DPMpp2M(), 4, CFG(2.0)), (3, 4), seed=2**63 + 1),
        work(flow_table(EulerAncestral(), 4, CFG(3.0, rescale=0.5)), (5, 6), seed=2),
        work(wide_table(3, 4, ("light",), 1), (7, 8), seed=3, externals=pages_of(["light"])),
    ]


def large_works():
    """More registers, externals and tapes; more branches."""
    pages = pages_of(["light", "mask"], 4)
    return [
        work(wide_table(8, 3, ("light", "mask"), 2), (1, 2), seed=4, externals=pages),
        work(flow_table(DPMpp2M(), 3, ThreeBranches()), (1, 2, 3), seed=5),
    ]


def test_the_space_grows_while_works_run(steady, kernel_device):
    """Registers, conditions, externals, carried scalars and tapes move along, twice."""
    pool = torch_pool(steady, kernel_device, slots=5)
    works, forms = {}, []
    first, second, third = small_works()
    for group in ([first, second], [third], large_works()):
        works |= submitted(pool, group)
        tick(pool)
        forms.append(pool.memory.form)
    finish(pool)
    assert tuple(forms) == FORMS
    assert_as_alone(steady, kernel_device, pool, works)


def test_the_space_grows_while_works_are_parked(steady, kernel_device):
    pool = torch_pool(steady, kernel_device, slots=2)
    works = submitted(pool, small_works()[1:])
    tick(pool)
    tick(pool)
    assert pool.memory.form == FORMS[1]
    works |= submitted(pool, [replace(each, priority=1) for each in large_works()])
    tick(pool)
    assert pool.parked == 2
    assert pool.memory.form == FORMS[2]
    finish(pool)
    assert_as_alone(steady, kernel_device, pool, works)


def test_a_parked_work_returns_elsewhere(steady, kernel_device):
    """Its rows have been overwritten meanwhile, its slot is another one."""
    each = work(flow_table(DPMpp2M(), 4), (3, 1), seed=4)
    other = work(flow_table(steps=2), (6, 1), seed=5)
    pool = torch_pool(steady, kernel_device, slots=2, arena_rows=9)
    (number,) = submitted(pool, [each])
    tick(pool)
    assert (pool.active[0].index, pool.active[0].offset) == (0, 0)
    urgent = submitted(pool, [replace(other, priority=2)])
    urgent |= submitted(pool, [work(flow_table(steps=3), (7, 1), seed=6, priority=1)])
    while number in pool.running or (number not in pool.running and pool.parked == 0):
        tick(pool)
    while number not in pool.running:
        tick(pool)
    slot = next(slot for slot in pool.active if slot.number == number)
    assert (slot.index, slot.offset) == (1, 4)
    finish(pool)
    assert_as_alone(steady, kernel_device, pool, urgent | {number: each})


def test_what_breaks_just_before_it_is_parked_names_its_stage(breaking, kernel_device):
    """The device has the status, the host does not know it yet: it is parked along."""
    table = flow_table(steps=6, shift=1.0)
    pool = torch_pool(breaking, kernel_device, slots=1)
    number = pool.submit(work(table, (7,), seed=3))
    for _ in range(3):
        tick(pool)
    assert number in pool.running
    works = submitted(pool, [work(flow_table(steps=2), (1,), priority=1)])
    finish(pool)
    assert pool.parked == 1
    outcome = pool.take(number)
    assert isinstance(outcome.error, NonFinite)
    assert "seed 3 became NaN or infinite at stage 3 of 6" in str(outcome.error)
    assert_as_alone(breaking, kernel_device, pool, works)


def test_what_breaks_after_its_return_names_its_stage(breaking, kernel_device):
    pool = torch_pool(breaking, kernel_device, slots=1)
    number = pool.submit(work(flow_table(steps=6, shift=1.0), (7,), seed=3))
    tick(pool)
    pool.submit(work(flow_table(steps=1), (1,), priority=1))
    finish(pool)
    assert pool.parked == 1
    assert "at stage 3 of 6" in str(pool.take(number).error)


def test_carried_scalars_return_with_their_work(steady, kernel_device):
    """Those of the slot, written from outside; whoever comes next starts from 0."""
    pool = torch_pool(steady, kernel_device, slots=1)
    stage, passes = pool.memory._stage, pool.memory._passes
    kept = np.array([[1.5, -2.0, 0.0, 1e300]])
    number = pool.submit(work(flow_table(steps=3), seed=1))
    tick(pool)
    with stage.active():
        passes.carry(0, stage.upload(kept))
    urgent = pool.submit(work(flow_table(steps=1), priority=1))
    tick(pool)
    assert urgent in pool.outcomes
    assert not stage.download(passes.carried(0)).any()
    tick(pool)
    assert number in pool.running
    assert np.array_equal(stage.download(passes.carried(0)), kept)
    finish(pool)
