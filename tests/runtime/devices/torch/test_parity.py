"""The loop on the torch device against the NumPy device and the float64 reference.

Of the samplers' matrix a part that covers every pair of solver and operation, guidance and
operation runs here, the whole of it with the slow tests.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from denoisert.kernels.step.form import Form
from denoisert.runtime.bundle.card import TimeShape
from denoisert.runtime.devices.torch import TorchDevice
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.loop.pool import Pool
from denoisert.runtime.loop.tick import tick
from tests.runtime.devices.torch_places import (
    apart,
    torch_alone,
    torch_pool,
    torch_spied,
)
from tests.runtime.networks import NULL, convolution, perceptron
from tests.runtime.samplers import (
    GUIDANCE,
    OPERATIONS,
    SOLVERS,
    flow_table,
    noise_table,
    random_work,
    wide_table,
)
from tests.runtime.sampling.drafts import assemble, blank
from tests.runtime.spies import alone, bound, error, exact, finish, pool_of, work

MATRIX = list(product(range(len(SOLVERS)), range(len(GUIDANCE)), range(len(OPERATIONS))))
COVER = [case for case in MATRIX if case[1] == (case[0] + 2 * case[2]) % len(GUIDANCE)]


def sampled(solver, guidance, operation, steps):
    return flow_table(SOLVERS[solver], steps, GUIDANCE[guidance], OPERATIONS[operation])


def test_the_cover_leaves_no_pair_out():
    assert {(s, o) for s, _, o in COVER} == {(s, o) for s, _, o in MATRIX}
    assert {(g, o) for _, g, o in COVER} == {(g, o) for _, g, o in MATRIX}


@pytest.mark.parametrize("operation", range(len(OPERATIONS)), ids=lambda i: repr(OPERATIONS[i]))
def test_samplers(check, toy, operation):
    """Seeds beyond 2^63, several pictures and loops; 3 to 5 evaluations each."""
    works = [
        work(sampled(*case, steps=3), (4, 2), seed=2**64 - 1 - 2 ** case[0], image=3, loop=case[1])
        for case in COVER
        if case[2] == operation
    ]
    check(toy, works, [(4, 2)] * len(works))


@pytest.mark.slow
@pytest.mark.parametrize("solver", range(len(SOLVERS)), ids=lambda i: repr(SOLVERS[i]))
def test_every_sampler(check, toy, solver):
    """Whole matrix of 144 samplers, 8 evaluations and more."""
    works = [
        work(sampled(*case, steps=8), (4, NULL), seed=2**63 + index, image=index)
        for index, case in enumerate(MATRIX)
        if case[0] == solver
    ]
    check(toy, works, [(4, NULL)] * len(works))


@pytest.mark.parametrize(("solver", "operation"), [(1, 2), (4, 1)])
def test_noise_network_on_a_variance_preserving_path(check, solver, operation):
    tame = perceptron(seed=4, time_gain=1e-3, gain=0.3)
    table = noise_table(SOLVERS[solver], 5, GUIDANCE[1], OPERATIONS[operation])
    check(tame, [work(table, (4, 7), seed=5)], [(4, 7)])


def test_start_pictures_are_read_at_their_strength(check, toy):
    source = np.random.default_rng(7).standard_normal((1, 64)).astype(np.float32)
    source.setflags(write=False)  # as a cache hands it out
    works = [
        work(flow_table(SOLVERS[3], 6, strength=strength), seed=3, externals={"source": source})
        for strength in (0.4, 1.0)
    ]
    check(toy, works, [(1, NULL)] * 2)


def test_eight_registers_externals_and_tapes(check, toy):
    pages = np.random.default_rng(8).standard_normal((2, 2, 64)).astype(np.float32)
    externals = dict(zip("ab", pages, strict=True))
    tables = wide_table(6, 6, ("a", "b"), taps=2), wide_table(8, 4, ("b",), taps=1)
    works = [work(table, seed=9, externals=externals) for table in tables]
    check(toy, works, [(1, NULL)] * 2)


@pytest.mark.parametrize(
    ("make", "shape"), [(perceptron, (67,)), (convolution, (3, 5, 4)), (convolution, (2, 2, 3, 3))]
)
def test_state_of_any_rank(check, make, shape):
    toy = make(seed=5, layout=StateLayout((Part("state", shape),)))
    check(toy, [work(flow_table(SOLVERS[5], 3, GUIDANCE[4]), seed=6)], [(1, NULL)])


def test_more_tiles_than_one(check):
    """A part that needs several programs, the second part beginning inside a tile."""
    toy = perceptron(seed=6, layout=StateLayout((Part("image", (3, 37, 11)), Part("sound", (7,)))))
    check(toy, [work(flow_table(SOLVERS[3], 2, GUIDANCE[4]), seed=6)], [(1, NULL)])


def test_whole_train_times_reach_a_network_of_integers(check):
    toy = perceptron(seed=9, time_dtype="int64", time_gain=1e-3)
    table = noise_table(SOLVERS[1], 4)
    check(toy, [work(table, (2, NULL), seed=3)], [(2, NULL)])


@pytest.mark.parametrize(
    "shape",
    [{"batch": 3}, {"batch": 1}, {"time": TimeShape.SCALAR, "batch": 4}],
    ids=["3", "1", "scalar time"],
)
def test_padding_lanes_are_never_read(placed, kernel_device, shape):
    """NaN in the lanes that belong to no slot, and in what the call will write."""
    toy = perceptron(seed=3, **shape)
    plain = placed(toy, kernel_device)

    def poison(buffers):
        buffers["out_latent"].fill_(np.nan)
        used = len(pool._calls.map.lanes[0])
        pool.memory.buffers(0, used, 2)["latent"].fill_(np.nan)

    denoiser, spy = torch_spied(plain, before=poison)
    rng = np.random.default_rng(9)
    pool = torch_pool(denoiser, kernel_device, slots=2)
    asked = [random_work(rng, sampled(i, i, 0, steps=2)) for i in range(3)]
    numbers = [pool.submit(each) for each, _ in asked]
    finish(pool)
    assert set(spy.runs) == {shape["batch"]}
    for number, (each, labels) in zip(numbers, asked, strict=True):
        wanted = exact(toy, each, labels).latent
        assert error(pool.take(number).latent, wanted) <= bound(each.table)


def test_two_engines_take_turns(placed, kernel_device):
    """Branch 0 asks one engine, branch 1 another; each has its own lanes."""
    toys = [perceptron(seed=10), perceptron(seed=11, batch=2)]
    form = Form(1, 2)
    matrix = blank(form, 3)
    matrix[1:, form.register_row(0), :3] = (0.9, 0.3, -0.2)
    table = assemble(form, matrix, engine=np.tile([0, 1], (4, 1)), model_time=np.full((4, 2), 0.5))
    device = TorchDevice(kernel_device)
    denoisers = [placed(toy, kernel_device) for toy in toys]
    pool = Pool(toys[0].shape.layout, denoisers, device, slots=2)
    numbers = {pool.submit(work(table, (1, 2), seed=seed)): seed for seed in range(3)}
    finish(pool)

    for number, seed in numbers.items():
        each = work(table, (1, 2), seed=seed)
        answer = exact(toys[0], each, network=lambda x, time, c: toys[c].answer(x, time, (1, 2)[c]))
        assert error(pool.take(number).latent, answer.latent) <= bound(table)


@pytest.mark.parametrize(("seed", "count"), [(1, 6), pytest.param(2, 24, marks=pytest.mark.slow)])
def test_random_works_join_and_leave(placed, toy, kernel_device, seed, count):
    """Different solvers, steps, seeds, pictures and guidance in three slots."""
    rng = np.random.default_rng(seed)
    pool = torch_pool(placed(toy, kernel_device), kernel_device, slots=3)
    asked = {}
    while len(asked) < count:
        each, labels = random_work(rng)
        if each.table.stages > 4 and count < 10:
            continue
        asked[pool.submit(each)] = each, labels
        for _ in range(int(rng.integers(0, 3))):
            tick(pool)
    finish(pool)
    for number, (each, labels) in asked.items():
        found = pool.take(number).latent
        assert error(found, exact(toy, each, labels).latent) <= bound(each.table)
        assert error(found, alone(placed(toy, "cpu"), each).latent) <= apart(each.table)


def test_previews_come_in_the_tick_of_their_step(placed, toy, kernel_device):
    """The same pictures in the same ticks as on the NumPy device, and the same result."""
    pools = [
        torch_pool(placed(toy, kernel_device), kernel_device, slots=2),
        pool_of(placed(toy, "cpu"), slots=2),
    ]
    tables = [flow_table(SOLVERS[4], 3, previews=2), flow_table(steps=4, previews=1)]
    shown = []
    for pool in pools:
        for table, every in zip(tables, (2, 1), strict=True):
            pool.submit(work(table, seed=3, previews=every))
        ticks = []
        while not pool.is_idle:
            tick(pool)
            ticks.append(list(pool.previews))
            pool.previews.clear()
        shown.append(ticks)
    for mine, others in zip(*shown, strict=True):
        assert [each[:2] for each in mine] == [each[:2] for each in others]
        for each, other in zip(mine, others, strict=True):
            assert error(each.latent, other.latent) <= apart(tables[other.number])
    for number, table in enumerate(tables):
        found, wanted = (pool.take(number) for pool in pools)
        assert error(found.latent, wanted.latent) <= apart(table)
        assert found.tapes == wanted.tapes == ()


def test_hundreds_of_rows(placed, steady_toy, kernel_device):
    """More rows than fit a byte, in one table."""
    denoiser = placed(steady_toy, kernel_device)
    each = replace(work(flow_table(SOLVERS[5], 310), seed=1), image=2)
    found = torch_alone(denoiser, each, kernel_device).latent
    assert error(found, exact(steady_toy, each).latent) <= 4 * bound(each.table)


test_hundreds_of_rows = pytest.mark.slow(test_hundreds_of_rows)
