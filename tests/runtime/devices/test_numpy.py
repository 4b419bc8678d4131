"""The CPU device: random tables of every kind, growth, noise, status."""

import numpy as np
import pytest

from denoisert.kernels.philox import cpu as philox
from denoisert.kernels.step.form import Form
from denoisert.runtime.devices.device import SMALLEST, grown
from denoisert.runtime.devices.numpy import NumpyDevice
from denoisert.runtime.loop.arena import Arena
from denoisert.runtime.loop.lanes import LaneMap
from denoisert.runtime.loop.slot import Slot
from tests.runtime.networks import perceptron
from tests.runtime.samplers import flow_table, wide_table
from tests.runtime.sampling import drafts
from tests.runtime.sampling.drafts import LAYOUT, assemble, blank, random_fields
from tests.runtime.spies import exact, finish, pool_of, work

LABELS = (1, 2, 3)
CLOSE = 2e-5


@pytest.fixture(scope="module")
def toy():
    return perceptron(seed=12, layout=LAYOUT, time_gain=1e-3)


@pytest.fixture(scope="module")
def denoiser(toy, tmp_path_factory):
    return toy.denoiser(tmp_path_factory.mktemp("toy"))


def random_work(seed):
    """Rules, operations, products, taps, externals, scales, skipped branches: all of it at once."""
    form, matrix, changes = random_fields(seed)
    table = assemble(form, matrix, **changes)
    pages = {name: page.astype(np.float32) for name, page in drafts.buffers(seed, table).items()}
    return work(table, LABELS, seed=seed, image=seed % 3, loop=seed % 2, externals=pages)


@pytest.mark.parametrize("first", range(0, 60, 12))
def test_random_tables_together_equal_the_reference(toy, denoiser, first):
    works = [random_work(seed) for seed in range(first, first + 12)]
    pool = pool_of(denoiser, slots=5)
    numbers = [pool.submit(each) for each in works]
    finish(pool)
    for number, each in zip(numbers, works, strict=True):
        found, wanted = pool.take(number), exact(toy, each, LABELS)
        assert_close(found.latent, wanted.latent)
        for tape, pages in zip(found.tapes, wanted.tapes, strict=True):
            assert len(tape) == 1 + max(pages, default=-1)
            for page, value in pages.items():
                assert_close(tape[page], value)


def assert_close(found, wanted):
    assert np.abs(found - wanted).max() <= CLOSE * max(np.abs(wanted).max(), 1e-3)


def memory_of(denoiser, slots=3):
    return NumpyDevice().memory(denoiser.layout, [denoiser], slots=slots, rows=64)


def admitted(memory, index, each, arena):
    lease, is_new = arena.acquire(each.table)
    if is_new:
        memory.write_rows(lease)
    slot = Slot(index, each, lease.offset)
    memory.admit(slot)
    slot.counter = 1
    return slot


@pytest.mark.parametrize(("image", "loop", "seed"), [(0, 0, 0), (3, 0, 2**64 - 1), (2, 5, 2**32)])
def test_the_prologue_draws_the_counter_noise_of_image_loop_and_seed(denoiser, image, loop, seed):
    memory = memory_of(denoiser)
    each = work(flow_table(), seed=seed, image=image, loop=loop)
    slot = admitted(memory, 1, each, Arena(64))
    count = denoiser.layout.elements
    space = philox.workspace(count)
    wanted = np.zeros(count, np.float32)
    philox.normals(seed, draw=0, image=image, loop=loop, count=count, out=wanted, workspace=space)
    assert np.array_equal(memory.latent(slot), wanted)


def test_a_latent_is_a_copy(denoiser):
    memory = memory_of(denoiser)
    slot = admitted(memory, 0, work(flow_table()), Arena(64))
    memory.latent(slot).fill(0)
    assert memory.latent(slot).any()


def test_growing_keeps_registers_conditions_and_rows(denoiser):
    """Every quantity that lives across ticks survives a change of the column space, bit for bit."""
    memory, arena = memory_of(denoiser), Arena(64)
    slots = [
        admitted(memory, i, work(flow_table(steps=4 + i), (i + 1, 9), seed=i), arena)
        for i in (2, 0)
    ]
    before = [memory.latent(slot) for slot in slots]
    memory.grow(Form(8, 4, 3, 2))
    for slot, latent in zip(slots, before, strict=True):
        assert np.array_equal(memory.latent(slot), latent)
    memory.map_lanes(LaneMap.of(slots, 1), slots)
    lanes = memory.buffers(0, 0, 2)
    assert lanes["label"].tolist() == [3, 1]
    assert np.array_equal(lanes["image"].reshape(2, -1), np.stack(before)[:, :12])
    assert np.array_equal(lanes["sound"].reshape(2, -1), np.stack(before)[:, 12:])


@pytest.mark.parametrize(
    ("have", "wanted", "form"),
    [
        (SMALLEST, Form(1, 1), SMALLEST),
        (SMALLEST, Form(4, 2), SMALLEST),
        (SMALLEST, Form(5, 1), Form(8, 2)),
        (SMALLEST, Form(2, 3, 1, 2), Form(4, 3, 1, 2)),
        (Form(8, 2, 2, 0), Form(3, 1, 1, 4), Form(8, 2, 2, 4)),
    ],
)
def test_column_spaces_grow_in_few_steps(have, wanted, form):
    assert grown(have, wanted) == form


def test_step_names_the_slots_that_are_no_longer_finite(denoiser):
    memory, arena = memory_of(denoiser), Arena(64)
    slots = [admitted(memory, i, work(flow_table(steps=3), seed=i), arena) for i in range(3)]
    memory.map_lanes(LaneMap.of(slots, 1), slots)
    outputs = memory.buffers(0, 0, 3)
    outputs["out_image"][1, 0, 0, 0] = np.nan
    outputs["out_sound"][2, 1, 3] = np.nan
    assert [slot.index for slot in memory.step(slots)] == [1, 2]


def test_large_finite_values_are_finite(denoiser):
    """Their sum overflows, they do not."""
    form = Form(1)
    matrix = blank(form, 1)
    matrix[1, form.register_row(0), form.one] = 2e38
    table = assemble(form, matrix, draws=np.array([1, 0]))
    pool = pool_of(denoiser, slots=1)
    number = pool.submit(work(table, (1,)))
    with np.errstate(over="ignore"):
        finish(pool)
    found = pool.take(number)
    assert found.error is None
    assert np.all(found.latent == np.float32(2e38))


def test_taps_are_the_callers_after_the_end(denoiser):
    each = work(wide_table(3, taps=2))
    pool = pool_of(denoiser, slots=1)
    numbers = [pool.submit(each), pool.submit(each)]
    finish(pool)
    first, second = (pool.take(number).tapes for number in numbers)
    first[0].fill(7)
    assert not np.any(second[0] == 7)
    assert first[0] is not second[0]


def test_inputs_are_written_once_for_neighbouring_lanes_and_scaled(denoiser):
    form = Form(1, 2)
    matrix = blank(form, 2)
    matrix[1:, form.register_row(0), :3] = (0.5, 0.3, 0.2)
    for scales in ([2.0, 2.0], [1.0, 1.0], [0.5, 3.0]):
        table = assemble(form, matrix, input_scale=np.tile(scales, (3, 1)))
        memory = memory_of(denoiser)
        slot = admitted(memory, 0, work(table, (1, 2), seed=3), Arena(64))
        memory.map_lanes(LaneMap.of([slot], 1), [slot])
        latent = memory.latent(slot)
        lanes = memory.buffers(0, 0, 2)
        for lane, scale in enumerate(scales):
            wanted = latent * np.float32(scale)
            assert np.array_equal(lanes["image"][lane].reshape(-1), wanted[:12])
            assert np.array_equal(lanes["sound"][lane].reshape(-1), wanted[12:])
        assert lanes["time"].tolist() == [100.0, 100.0]
