"""A parked work ends bit for bit as if it had never stopped, whatever happened meanwhile."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime.errors import NonFinite
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.guidance import CFG, Branches
from denoisert.runtime.sampling.solvers import DDIM, DPMpp2M, EulerAncestral
from tests.runtime.networks import perceptron
from tests.runtime.samplers import flow_table, random_table, random_work, wide_table
from tests.runtime.sampling import drafts
from tests.runtime.sampling.drafts import assemble, random_fields
from tests.runtime.spies import alone, finish, pool_of, work


def assert_same(found, wanted):
    assert found.error is None
    assert np.array_equal(found.latent.view(np.uint32), wanted.latent.view(np.uint32))
    assert len(found.tapes) == len(wanted.tapes)
    for tape, other in zip(found.tapes, wanted.tapes, strict=True):
        assert np.array_equal(tape.view(np.uint32), other.view(np.uint32))


def interrupt(pool, works, rng, make, chance=0.4):
    """Run works while urgent ones from `make` come and go; outcomes of the works by number."""
    numbers = {pool.submit(each): each for each in works}
    while set(numbers) - set(pool.outcomes):
        if rng.random() < chance:
            pool.submit(replace(make(), priority=int(rng.integers(1, 4))))
        tick(pool)
    finish(pool)
    assert all(lease.references == 0 for lease in pool._seats.arena.leases)
    return [(each, pool.take(number)) for number, each in numbers.items()]


@pytest.mark.parametrize("seed", [1, 2])
def test_random_works_under_random_interruptions(any_toy, seed):
    _, denoiser = any_toy
    rng = np.random.default_rng(seed)
    works = [random_work(rng)[0] for _ in range(10)]
    pool = pool_of(denoiser, slots=3)

    def urgent():
        return random_work(rng, flow_table(steps=int(rng.integers(1, 4))))[0]

    for each, found in interrupt(pool, works, rng, urgent):
        assert_same(found, alone(denoiser, each))
    assert pool.parked > 3


@pytest.mark.parametrize("first", [0, 10, 20])
def test_tables_that_use_everything(first, tmp_path):
    """Rules, operations, products, taps, externals, skipped branches, several registers."""
    denoiser = perceptron(seed=12, layout=drafts.LAYOUT, time_gain=1e-3).denoiser(tmp_path)
    rng = np.random.default_rng(first)

    def any_work(seed):
        form, matrix, changes = random_fields(seed)
        table = assemble(form, matrix, **changes)
        pages = drafts.buffers(seed, table)
        pages = {name: page.astype(np.float32) for name, page in pages.items()}
        return work(table, (1, 2, 3), seed=seed, image=seed % 3, loop=seed % 2, externals=pages)

    pool = pool_of(denoiser, slots=2)
    works = [any_work(seed) for seed in range(first, first + 10)]

    def urgent():
        return any_work(int(rng.integers(1000, 2000)))

    for each, found in interrupt(pool, works, rng, urgent):
        assert_same(found, alone(denoiser, each))
    assert pool.parked > 3


def parked(denoiser, works, **options):
    """A pool of as many slots as works, all of which are parked after two ticks."""
    pool = pool_of(denoiser, **({"slots": len(works)} | options))
    numbers = [pool.submit(each) for each in works]
    tick(pool)
    tick(pool)
    return pool, numbers


def test_the_column_space_may_grow_while_works_are_parked(denoiser):
    rng = np.random.default_rng(3)
    n = denoiser.layout.elements
    pages = {name: rng.standard_normal((2, n)).astype(np.float32) for name in ("mask", "light")}
    small = [
        work(flow_table(DPMpp2M(), 8, CFG(2.0)), (3, 4), seed=1),
        work(flow_table(EulerAncestral(), 8, CFG(3.0, rescale=0.5)), (5, 6), seed=2),
        work(wide_table(3, 8, ("light",), taps=1), (7, 8), seed=3, externals=pages),
    ]
    pool, numbers = parked(denoiser, small)
    before = pool.memory.form
    large = [
        work(wide_table(8, 4, ("light", "mask"), taps=2), (1, 2), seed=4, externals=pages),
        work(flow_table(DPMpp2M(), 4, ThreeBranches()), (1, 2, 3), seed=5),
        work(wide_table(5, 4), (1, 2), seed=6),
    ]
    numbers += [pool.submit(replace(each, priority=1)) for each in large]
    tick(pool)
    assert pool.parked == 3
    assert [waiter.number for waiter in pool.waiting] == numbers[:3]
    assert before == (4, 2, 1, 1)
    assert pool.memory.form == (8, 3, 2, 2)
    finish(pool)
    for number, each in zip(numbers, small + large, strict=True):
        assert_same(pool.take(number), alone(denoiser, each))


class ThreeBranches:
    """cond, uncond and a third condition, of which the third is asked at every other stage."""

    def branches(self, points):
        weights = np.array([[2.0, -0.5, -0.5], [2.0, -1.0, 0.0]] * len(points))[: len(points)]
        return Branches.linear((0, 1, 2), weights)


def test_the_rows_may_have_been_overwritten_meanwhile(denoiser):
    """The lease is given back with the slot: the same table finds another place later."""
    each = work(flow_table(DPMpp2M(), 8), seed=4)
    pool = pool_of(denoiser, slots=2, arena_rows=17)
    number = pool.submit(each)
    tick(pool)
    assert pool.active[0].offset == 0
    for steps in (5, 7):  # the second one's rows fit only where the parked one's were
        pool.submit(work(flow_table(steps=steps), priority=1))
    tick(pool)
    assert number not in pool.running
    while number not in pool.running:
        tick(pool)
    assert next(slot.offset for slot in pool.active if slot.number == number) == 8
    finish(pool)
    assert_same(pool.take(number), alone(denoiser, each))


def test_a_work_comes_back_into_another_slot_with_its_conditions(denoiser):
    pool, numbers = parked(denoiser, [work(flow_table(steps=9), (i, 2), seed=i) for i in range(2)])
    assert [slot.index for slot in pool.active] == [0, 1]
    urgent = [pool.submit(work(flow_table(steps=s), (8, 9), priority=1)) for s in (2, 6)]
    tick(pool)
    assert {slot.number: slot.index for slot in pool.active} == {urgent[0]: 1, urgent[1]: 0}
    tick(pool)
    tick(pool)
    assert {slot.number: slot.index for slot in pool.active} == {numbers[0]: 1, urgent[1]: 0}
    finish(pool)
    for index, number in enumerate(numbers):
        wanted = alone(denoiser, work(flow_table(steps=9), (index, 2), seed=index))
        assert_same(pool.take(number), wanted)


def test_tapes_go_on_where_they_stopped(denoiser):
    each = work(wide_table(4, 9, taps=2), (1, 2), seed=8)
    pool, (number,) = parked(denoiser, [each])
    other = work(wide_table(4, 3, taps=2), (5, 6), seed=9, priority=1)
    late = pool.submit(other)
    finish(pool)
    assert pool.parked == 1
    assert_same(pool.take(number), alone(denoiser, each))
    assert_same(pool.take(late), alone(denoiser, other))


@pytest.fixture(scope="module")
def breaking(tmp_path_factory):
    """A network that answers NaN for class 7 at the third time of six steps, shift 1."""
    toy = perceptron(seed=2, breaks=(7, 4 / 6))
    return toy.denoiser(tmp_path_factory.mktemp("breaking"))


def test_nan_in_a_slot_reaches_nobody_who_was_parked_from_it(breaking):
    table = flow_table(DDIM(eta=1.0), 6, CFG(3.0, rescale=0.7), shift=1.0)
    calm = [work(table, (label, 3), seed=label) for label in (1, 2)]
    pool, numbers = parked(breaking, calm)
    bad = [pool.submit(work(table, (7, 3), seed=9 + i, priority=1)) for i in range(3)]
    finish(pool)
    assert pool.parked == 2
    for number in bad:
        assert isinstance(pool.take(number).error, NonFinite)
    for number, each in zip(numbers, calm, strict=True):
        assert_same(pool.take(number), alone(breaking, each))


def test_a_work_that_breaks_after_its_return_names_its_stage(breaking):
    pool, (number,) = parked(breaking, [work(flow_table(steps=6, shift=1.0), (7,), seed=3)])
    pool.submit(work(flow_table(steps=2), (1,), priority=1))
    finish(pool)
    outcome = pool.take(number)
    assert pool.parked == 1
    assert "seed 3 became NaN or infinite at stage 3 of 6" in str(outcome.error)


def test_works_with_previews_are_parked_like_others(denoiser):
    rng = np.random.default_rng(6)
    works = [replace(random_work(rng, random_table(rng, 2))[0], previews=2) for _ in range(8)]
    pool = pool_of(denoiser, slots=2)
    found = interrupt(pool, works, rng, lambda: work(flow_table(steps=2)))
    shown = {}
    for number, step, latent in pool.previews:
        shown.setdefault(number, []).append((step, latent))
    assert pool.parked > 3
    for number, (each, outcome) in enumerate(found):
        single = pool_of(denoiser, slots=1)
        single.submit(each)
        finish(single)
        assert_same(outcome, single.take(0))
        wanted = [(step, latent) for _, step, latent in single.previews]
        assert [step for step, _ in shown.get(number, [])] == [step for step, _ in wanted]
        for (_, mine), (_, other) in zip(shown.get(number, []), wanted, strict=True):
            assert np.array_equal(mine, other)
