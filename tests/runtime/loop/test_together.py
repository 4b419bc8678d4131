"""A request is bit for bit what it is alone, whatever runs beside it."""

import numpy as np
import pytest

from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.guidance import CFG, Branches
from denoisert.runtime.sampling.solvers import DPMpp2M, EulerAncestral
from tests.runtime.samplers import flow_table, random_work, wide_table
from tests.runtime.spies import alone, bound, error, exact, finish, pool_of, run, spied, work


def assert_same(found, wanted):
    assert found.error is None
    assert np.array_equal(found.latent.view(np.uint32), wanted.latent.view(np.uint32))
    for tape, other in zip(found.tapes, wanted.tapes, strict=True):
        assert np.array_equal(tape, other)


@pytest.mark.parametrize("seed", [11, 12])
def test_32_random_requests_on_8_slots_are_what_they_are_alone(any_toy, seed):
    toy, denoiser = any_toy
    rng = np.random.default_rng(seed)
    asked = [random_work(rng) for _ in range(32)]
    together = run(denoiser, [each for each, _ in asked], slots=8)
    for (each, labels), found in zip(asked, together, strict=True):
        assert_same(found, alone(denoiser, each))
        wanted = exact(toy, each, labels).latent
        assert error(found.latent, wanted) <= bound(each.table)


def test_the_order_of_submission_changes_no_bits(denoiser):
    rng = np.random.default_rng(5)
    works = [random_work(rng)[0] for _ in range(12)]
    order = rng.permutation(12)
    first = run(denoiser, works, slots=5)
    second = run(denoiser, [works[i] for i in order], slots=5)
    for place, index in enumerate(order):
        assert_same(second[place], first[index])


def test_late_arrivals_change_nothing(denoiser):
    rng = np.random.default_rng(6)
    pool = pool_of(denoiser, slots=4)
    numbers = {}
    for _ in range(14):
        each, _ = random_work(rng)
        numbers[pool.submit(each)] = each
        for _ in range(int(rng.integers(0, 4))):
            tick(pool)
    finish(pool)
    for number, each in numbers.items():
        assert_same(pool.take(number), alone(denoiser, each))


def test_the_pool_grows_while_others_run(denoiser):
    rng = np.random.default_rng(7)
    n = denoiser.layout.elements
    pages = {name: rng.standard_normal((2, n)).astype(np.float32) for name in ("mask", "light")}
    growing = [
        work(wide_table(3), (1, 2), seed=1),
        work(wide_table(5), (3, 4), seed=2),
        work(wide_table(7, externals=("mask",)), (5, 6), seed=3, externals=pages),
        work(wide_table(8, externals=("light", "mask"), taps=2), (7, 8), seed=4, externals=pages),
    ]
    pool = pool_of(denoiser, slots=8)
    numbers, forms = {}, []
    for late in growing:
        for each in (late, random_work(rng)[0]):
            numbers[pool.submit(each)] = each
        tick(pool)
        forms.append(pool.memory.form)
    finish(pool)
    assert [form.registers for form in forms] == [4, 8, 8, 8]
    assert [form.externals for form in forms] == [0, 0, 1, 2]
    assert forms[-1].taps == 2
    for number, each in numbers.items():
        assert_same(pool.take(number), alone(denoiser, each))


def test_branches_grow_too(denoiser, toy):
    table = flow_table(DPMpp2M(), 6, ThreeBranches())
    pool = pool_of(denoiser, slots=3)
    first = pool.submit(work(flow_table(steps=9), seed=3))
    guided = pool.submit(work(flow_table(steps=9, guidance=CFG(3.0)), (2, 5), seed=4))
    tick(pool)
    third = work(table, (1, 2, 3), seed=5)
    late = pool.submit(third)
    finish(pool)
    assert pool.memory.form.branches == 3
    assert_same(pool.take(first), alone(denoiser, work(flow_table(steps=9), seed=3)))
    wanted = alone(denoiser, work(flow_table(steps=9, guidance=CFG(3.0)), (2, 5), seed=4))
    assert_same(pool.take(guided), wanted)
    found = pool.take(late)
    assert error(found.latent, exact(toy, third, (1, 2, 3)).latent) <= bound(table)


def test_a_table_may_name_a_later_condition_than_it_has_branches(denoiser, toy):
    """One branch that is fed the third condition, beside slots with conditions of their own."""

    class Third:
        def branches(self, points):
            return Branches.linear((2,), np.ones((len(points), 1)))

    table = flow_table(steps=4, guidance=Third())
    labels = [(1, 2, 3), (4, 5, 6), (7, 8, 9)]
    works = [work(table, three, seed=4) for three in labels]
    for three, found in zip(labels, run(denoiser, works, slots=3), strict=True):
        wanted = exact(toy, works[0], three).latent
        assert error(found.latent, wanted) <= bound(table)


class ThreeBranches:
    """cond, uncond and a third condition, of which the third is asked at every other stage."""

    def branches(self, points):
        weights = np.array([[2.0, -0.5, -0.5], [2.0, -1.0, 0.0]] * len(points))[: len(points)]
        return Branches.linear((0, 1, 2), weights)


def test_a_slot_that_is_used_again_remembers_nothing(denoiser):
    rng = np.random.default_rng(8)
    pool = pool_of(denoiser, slots=1)
    works = [random_work(rng)[0] for _ in range(10)]
    numbers = [pool.submit(each) for each in works]
    finish(pool)
    for number, each in zip(numbers, works, strict=True):
        assert_same(pool.take(number), alone(denoiser, each))


def test_equal_works_give_equal_pictures_and_images_differ(denoiser):
    table = flow_table(EulerAncestral(), 5)
    a, b, c, d = run(
        denoiser, [work(table, seed=s, image=i) for s, i in ((4, 0), (4, 0), (4, 1), (5, 0))]
    )
    assert_same(a, b)
    assert not np.allclose(a.latent, c.latent)
    assert not np.allclose(a.latent, d.latent)


def test_padding_lanes_are_never_read(any_toy):
    toy, plain = any_toy
    name = toy.shape.layout.parts[0].name

    def poison(buffers):
        """NaN into the lanes that belong to no slot, and into what the call will write."""
        for port in plain.engine.outputs:
            buffers[port.name].fill(np.nan)
        used = len(pool._calls.map.lanes[0])
        pool.memory.buffers(0, used, 2)[name].fill(np.nan)

    denoiser, spy = spied(plain, before=poison)
    rng = np.random.default_rng(9)
    works = [random_work(rng)[0] for _ in range(7)]
    pool = pool_of(denoiser, slots=3)
    numbers = [pool.submit(each) for each in works]
    finish(pool)
    assert spy.runs
    for number, each in zip(numbers, works, strict=True):
        assert_same(pool.take(number), alone(plain, each))
