"""Rules that weigh every channel on the CPU device: the reference, neighbours, parking, layouts."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.operations import DynamicThreshold
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.packing import pack_rows
from denoisert.runtime.sampling.solvers import DDIM, EVODiff, LastStep
from tests.runtime.loop.test_parking import assert_same, interrupt
from tests.runtime.networks import NULL, convolution, perceptron
from tests.runtime.samplers import channel_table, flow_table, wide_table
from tests.runtime.spies import alone, bound, error, exact, finish, pool_of, run, spied, work

FULL = EVODiff(LastStep.FULL)
MIXTURE = [
    channel_table(steps=9),
    flow_table(DDIM(eta=1.0), 7, CFG(3.0, rescale=0.7)),
    channel_table(FULL, 5, CFG(2.0)),
    channel_table(steps=23, previews=4),
    flow_table(DDIM(), 6, CFG(4.0, rescale=1.0), DynamicThreshold(0.8, 2.0)),
]
UNEVEN = StateLayout((Part("image", (2, 3, 3)), Part("sound", (4,))))


@pytest.fixture(scope="module")
def toy():
    return perceptron(layout=StateLayout((Part("latent", (4, 5, 3)),)))


@pytest.fixture(scope="module")
def denoiser(toy, tmp_path_factory):
    return toy.denoiser(tmp_path_factory.mktemp("toy"))


def mixture():
    return [work(table, (index, 1), seed=index) for index, table in enumerate(MIXTURE)]


@pytest.mark.parametrize("last", LastStep)
@pytest.mark.parametrize("steps", [2, 3, 8, 24])
def test_a_run_equals_the_reference(denoiser, toy, last, steps):
    each = work(channel_table(EVODiff(last), steps, CFG(2.0)), (4, 5), seed=steps)
    (found,) = run(denoiser, [each], slots=1)
    assert error(found.latent, exact(toy, each, (4, 5)).latent) <= bound(each.table)


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (perceptron, [(7,)]),
        (convolution, [(2, 2, 3, 3)]),
        (perceptron, [(3, 37, 17), (2, 629)]),
    ],
)
def test_channels_of_any_size_and_part(tmp_path, make, parts):
    layout = StateLayout(tuple(Part(f"part{i}", shape) for i, shape in enumerate(parts)))
    toy = make(seed=5, layout=layout)
    each = work(channel_table(steps=5), seed=6)
    (found,) = run(toy.denoiser(tmp_path), [each], slots=1)
    assert error(found.latent, exact(toy, each).latent) <= bound(each.table)


def test_channels_do_not_know_each_other(toy):
    """Where the network treats elements alone, a channel's sample is its own; else it is not."""
    layout, table = toy.shape.layout, channel_table(steps=6)
    stride = layout.parts[0].channel_stride
    noise = [np.random.default_rng(4).standard_normal(layout.elements)]
    other = [noise[0].copy()]
    other[0][stride:] *= 1.5

    def single(x, time, *_):
        return x / (1 + x * x) + time

    def change(count, answer):
        cut = StateLayout((Part("latent", (count, layout.elements // count)),))
        pair = [execute(table, cut, answer, each).latent[:stride] for each in (noise, other)]
        return np.abs(pair[0] - pair[1]).max()

    assert change(4, single) == 0.0
    assert change(1, single) > 1e-4


@pytest.mark.parametrize("slots", [2, 5])
def test_alone_and_together_have_the_same_bits(denoiser, slots):
    works = mixture()
    for each, found in zip(works, run(denoiser, works, slots=slots), strict=True):
        assert_same(found, alone(denoiser, each))


def test_parked_scalars_of_channels_return(denoiser):
    rng = np.random.default_rng(2)
    pool = pool_of(denoiser, slots=2)

    def urgent():
        return work(channel_table(steps=3), (5, 1), seed=int(rng.integers(99)))

    for each, found in interrupt(pool, mixture(), rng, urgent):
        assert_same(found, alone(denoiser, each))
    assert pool.parked > 2


def test_a_slot_begins_without_what_was_carried_before(denoiser):
    pool = pool_of(denoiser, slots=1)
    works = [work(channel_table(steps=steps), seed=steps) for steps in (6, 4)]
    numbers = [pool.submit(each) for each in works]
    for _ in range(3):
        tick(pool)
    assert pool.memory._carried[0, 1:].all()
    assert not pool.memory._carried[0, 0].any()
    finish(pool)
    for number, each in zip(numbers, works, strict=True):
        assert_same(pool.take(number), alone(denoiser, each))


def test_the_space_grows_while_channels_carry(denoiser):
    pool = pool_of(denoiser, slots=2)
    each = work(channel_table(steps=7), seed=1)
    number = pool.submit(each)
    for _ in range(3):
        tick(pool)
    before = pool.memory.form
    pool.submit(work(wide_table(8, 2), (1, 2), seed=2))
    finish(pool)
    assert pool.memory.form != before
    assert_same(pool.take(number), alone(denoiser, each))


def test_a_work_of_one_evaluation_a_step_asks_for_no_more(denoiser):
    """The first, the probes, and the last of FULL; one lane, two with guidance."""
    for table, count in ((channel_table(steps=5), 5), (channel_table(FULL, 5, CFG(2.0)), 6)):
        watched, spy = spied(denoiser)
        run(watched, [work(table)], slots=1)
        assert len(spy.runs) == table.stages == count
        assert table.nfe == sum(len(lanes) for lanes in table.lanes)


@pytest.mark.parametrize(
    ("parts", "count"),
    [([(4, 5, 3)], 4), ([(3, 6), (2, 2, 3)], 5), ([(7,)], 7), ([(2, 9), (4,)], 0)],
)
def test_channels_of_a_state(parts, count):
    layout = StateLayout(tuple(Part(f"part{i}", shape) for i, shape in enumerate(parts)))
    assert layout.channels == count


def test_a_state_of_uneven_channels_is_refused_before_any_work(tmp_path):
    toy = perceptron(layout=UNEVEN)
    table, denoiser = channel_table(steps=4), toy.denoiser(tmp_path)
    said = "channels of one size; they have 'image' 9, 'sound' 1 elements. Use a solver"
    with pytest.raises(InvalidInput, match=said):
        denoiser.check(table)
    with pytest.raises(InvalidInput, match=said):
        pack_rows(table, UNEVEN)
    each = work(channel_table(steps=2), (3, NULL), seed=1)
    assert not each.table.rule.any()  # two steps have no probe, so they run anywhere
    denoiser.check(each.table)
    other = work(flow_table(steps=3, guidance=CFG(3.0, rescale=0.7)), (3, NULL), seed=1)
    for found, asked in zip(run(denoiser, [each, other]), (each, other), strict=True):
        assert error(found.latent, exact(toy, asked, (3, NULL)).latent) <= bound(asked.table)


def test_a_sampler_of_whole_slots_is_what_it_was(denoiser, toy):
    """Its bits do not depend on how the state falls into channels."""
    each = work(MIXTURE[1], (3, 4), seed=3)
    found = alone(denoiser, each).latent
    other = perceptron(layout=StateLayout((Part("latent", (60,)),)))
    again = exact(other, each, (3, 4)).latent
    np.testing.assert_array_equal(exact(toy, each, (3, 4)).latent, again)
    assert error(found, again) <= bound(each.table)
    assert_same(alone(denoiser, replace(each)), alone(denoiser, each))
