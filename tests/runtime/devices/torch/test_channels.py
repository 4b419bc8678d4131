"""Rules that weigh every channel, on the torch device, beside rules that weigh whole slots."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.kernels.rule import PER_CHANNEL
from denoisert.kernels.step.record import CHANNEL, FIRST, LAST, PART, START
from denoisert.kernels.step.variants import BLOCK
from denoisert.runtime.devices.torch.passes import Wanted
from denoisert.runtime.devices.torch.spaces import channel_tiles
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.loop.graphs import Eager
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.operations import DynamicThreshold
from denoisert.runtime.sampling.solvers import DDIM, EVODiff, LastStep
from tests.runtime.devices.torch_places import assert_same, torch_alone, torch_pool, torch_run
from tests.runtime.networks import NULL, convolution, perceptron
from tests.runtime.samplers import channel_table, flow_table, wide_table
from tests.runtime.spies import finish, work

FULL = EVODiff(LastStep.FULL)
MIXTURE = [
    channel_table(FULL, 2, CFG(2.0)),
    flow_table(DDIM(eta=1.0), 3, CFG(3.0, rescale=0.7)),
    channel_table(steps=3, previews=1),
    flow_table(DDIM(), 3, CFG(4.0, rescale=1.0), DynamicThreshold(0.8, 2.0)),
]


def mixture():
    return [work(table, (index, 1), seed=index) for index, table in enumerate(MIXTURE)]


def test_every_channel_is_weighed_by_itself(check, toy):
    works = [
        work(channel_table(EVODiff(last), steps, guidance), (3, 5), seed=steps)
        for last, steps, guidance in zip(LastStep, (4, 2, 2), (None, None, CFG(3.0)), strict=True)
    ]
    check(toy, works, [(3, 5)] * len(works))


@pytest.mark.parametrize(
    ("make", "shape"), [(perceptron, (7,)), (convolution, (3, 5, 4)), (convolution, (2, 2, 3, 3))]
)
def test_channels_of_any_size(check, make, shape):
    """Of one element, of an odd number, of several dimensions."""
    toy = make(seed=5, layout=StateLayout((Part("state", shape),)))
    check(toy, [work(channel_table(steps=3), seed=6)], [(1, NULL)], slots=1)


def test_channels_of_several_parts_and_of_more_tiles_than_one(check):
    """Channels that begin inside a tile of noise, in two parts."""
    layout = StateLayout((Part("left", (3, 37, 17)), Part("right", (2, 629))))
    toy = perceptron(seed=6, layout=layout)
    check(toy, [work(channel_table(steps=3), seed=6)], [(1, NULL)], slots=1)


def test_rules_of_both_kinds_share_ticks(check, toy):
    check(toy, mixture(), [(index, 1) for index in range(len(MIXTURE))])


@pytest.mark.parametrize("slots", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_alone_and_together_have_the_same_bits(steady, kernel_device, slots):
    """Also those of whole slots, whose tiles differ when a neighbour weighs channels."""
    works = mixture()
    found = torch_run(steady, works, kernel_device, slots=slots)
    for each, mine in zip(works, found, strict=True):
        assert_same(mine, torch_alone(steady, each, kernel_device))


def test_a_work_parked_twice_ends_as_if_alone(steady, kernel_device):
    each, pool = work(channel_table(steps=5), seed=1), torch_pool(steady, kernel_device, slots=1)
    number = pool.submit(each)
    for _ in range(2):
        tick(pool)
        tick(pool)
        pool.submit(work(flow_table(steps=1), priority=1))
    finish(pool)
    assert pool.parked == 2
    assert_same(pool.take(number), torch_alone(steady, each, kernel_device))


def test_scalars_begin_at_zero_and_come_back(steady, kernel_device):
    pool = torch_pool(steady, kernel_device, slots=1)
    stage, passes = pool.memory._stage, pool.memory._passes
    number = pool.submit(work(channel_table(steps=5), seed=1))
    for _ in range(3):
        tick(pool)
    kept = stage.download(passes.carried(0))
    assert kept.shape == (1 + 4, 4)
    assert not kept[0].any()
    assert kept[1:].all()
    pool.submit(work(flow_table(steps=1), priority=1))
    tick(pool)
    assert not stage.download(passes.carried(0)).any()
    resume, back = pool.memory.resume, []
    pool.memory.resume = lambda slot, parked: back.append(parked) or resume(slot, parked)
    tick(pool)
    assert number in pool.running
    np.testing.assert_array_equal(back[0].carried, kept)
    now = stage.download(passes.carried(0))
    assert now[1:].all()
    assert (now != kept)[1:].all()  # one row further


def test_what_was_parked_before_the_first_channels_returns_without_any(steady, kernel_device):
    first = work(MIXTURE[1], (3, 4), seed=1)
    late = work(channel_table(steps=3), (2, 1), seed=2)
    pool = torch_pool(steady, kernel_device, slots=1)
    numbers = {pool.submit(first): first}
    tick(pool)
    numbers[pool.submit(replace(late, priority=1))] = late
    finish(pool)
    assert pool.parked == 1
    for number, each in numbers.items():
        assert_same(pool.take(number), torch_alone(steady, each, kernel_device))


def test_the_space_grows_while_channels_carry(steady, kernel_device):
    pool = torch_pool(steady, kernel_device, slots=2)
    works = [work(channel_table(steps=5), seed=1), work(wide_table(8, 1), (1, 2), seed=2)]
    numbers = {pool.submit(works[0]): works[0]}
    for _ in range(3):
        tick(pool)
    before = pool.memory.form
    numbers[pool.submit(works[1])] = works[1]
    finish(pool)
    assert pool.memory.form != before
    for number, each in numbers.items():
        assert_same(pool.take(number), torch_alone(steady, each, kernel_device))


class Recorder(Eager):
    """Launches every round, and keeps what it wanted."""

    def __init__(self):
        self.wanted = []

    def run(self, key, launch):
        self.wanted.append(key.passes)
        super().run(key, launch)


def test_only_rows_of_channels_ask_for_them(denoiser, kernel_device):
    """The first row is DDIM, and so is the last one here; memory comes with the first table."""
    pool = torch_pool(denoiser, kernel_device, slots=2)
    pool.memory._rounds = recorder = Recorder()
    pool.submit(work(flow_table(steps=1, guidance=CFG(2.0, rescale=0.5))))
    finish(pool)
    assert pool.memory._passes._channels is None
    pool.submit(work(channel_table(steps=3)))
    finish(pool)
    assert recorder.wanted == [
        Wanted(rule=True),
        Wanted(),
        Wanted(channels=True),
        Wanted(channels=True),
    ]


def test_a_steady_tick_of_channels_uploads_and_takes_nothing(denoiser, kernel_device):
    pool = torch_pool(denoiser, kernel_device, slots=2)
    stage, taken = pool.memory._stage, []
    pool.submit(work(channel_table(steps=9), seed=1))
    pool.submit(work(flow_table(DDIM(), 9, CFG(2.0, rescale=0.5)), seed=2))
    tick(pool)
    tick(pool)
    upload, zeros = stage.upload, stage.zeros
    stage.upload = lambda values: taken.append(values) or upload(values)
    stage.zeros = lambda *shape, **kind: taken.append(shape) or zeros(*shape, **kind)
    for _ in range(2):
        tick(pool)
    assert not taken


@pytest.mark.parametrize(
    ("shapes", "count"),
    [([(4, 4, 4)], 4), ([(3, 37, 17), (2, 629)], 5), ([(600,)], 600), ([(2, BLOCK)], 2)],
)
def test_tiles_of_channels_cover_every_element_once(shapes, count):
    layout = StateLayout(tuple(Part(f"p{i}", shape) for i, shape in enumerate(shapes)))
    tiles, seen = channel_tiles(layout), np.full(layout.elements, -1)
    size = layout.elements // count
    for tile in tiles:
        assert tile[START] % BLOCK == 0
        assert tile[START] <= tile[FIRST] < tile[LAST] <= tile[START] + BLOCK
        first, last = layout.ranges[tile[PART]]
        assert first <= tile[FIRST] < tile[LAST] <= last
        assert (seen[tile[FIRST] : tile[LAST]] == -1).all()
        seen[tile[FIRST] : tile[LAST]] = tile[CHANNEL]
    np.testing.assert_array_equal(seen, np.arange(layout.elements) // size)


@pytest.mark.parametrize(("shape", "kinds"), [((4, 4, 4), 1), ((4, 6, 6), 2), ((3, 5, 4), 1)])
def test_warming_knows_both_kinds_of_tiles(placed, kernel_device, shape, kinds):
    """Channels of 36 elements lie on 16 bytes as a whole, and not one by one."""
    toy = perceptron(seed=1, layout=StateLayout((Part("latent", shape),)))
    memory = torch_pool(placed(toy, kernel_device), kernel_device, slots=1).memory
    spaces = memory._passes.spaces(memory._space)
    assert len({space.is_aligned for space in spaces}) == kinds
    memory._passes.prepare(MIXTURE[0])
    split = memory._passes.space(memory._space, Wanted(channels=True))
    assert split.is_aligned in {space.is_aligned for space in spaces}
    assert split.channels == shape[0]
    assert memory._passes.space(memory._space, Wanted(rule=True)) is memory._space


def test_what_rows_want_together():
    class Row:
        def __init__(self, rule, has_quantile=False):
            self.rule, self.has_quantile = rule, has_quantile

    split = PER_CHANNEL.index(True)
    whole = PER_CHANNEL.index(False, 1)
    assert Wanted.of([]) == Wanted.of([Row(0)]) == (False, False, False)
    assert Wanted.of([Row(0), Row(whole)]) == (True, False, False)
    assert Wanted.of([Row(split), Row(0, True)]) == (False, True, True)
    assert Wanted.of([Row(split), Row(whole)]) == (True, False, True)
