"""Numbers beside the time, from a table that changes them at every stage into a graph's inputs."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.kernels.philox import reference as philox
from denoisert.kernels.step.form import Form
from denoisert.runtime.bundle.card import TimeShape
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.loop.asks import row_asks
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.guidance import CFG
from tests.runtime.loop.test_parking import assert_same, interrupt
from tests.runtime.networks import NULL, perceptron
from tests.runtime.samplers import random_work
from tests.runtime.sampling.drafts import assemble, blank
from tests.runtime.shared import moving_table, told_table
from tests.runtime.spies import alone, bound, error, exact, finish, pool_of, run, spied, work

LABELS = (4, NULL)
NAMES = ("step_size", "scale", "second_time", "fourth")
KINDS = [{}, {"time": TimeShape.SCALAR}, {"batch": 3}]


def numbers_of(seed, stages=5, count=4):
    return np.random.default_rng(seed).uniform(-1, 1, (stages, count))


@pytest.fixture(scope="module")
def toy():
    return perceptron(seed=7, scalars=NAMES)


@pytest.fixture(scope="module")
def denoiser(toy, tmp_path_factory):
    return toy.denoiser(tmp_path_factory.mktemp("told"))


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_graph_is_told_what_the_table_says(kind, count, tmp_path):
    """The first scalars of a table feed the inputs that the card names, in its order."""
    toy = perceptron(seed=7, scalars=NAMES[:count], **kind)
    table = told_table(numbers_of(1, count=count), CFG(2.0))
    each = work(table, LABELS, seed=2**63 + 1)
    found = alone(toy.denoiser(tmp_path), each).latent
    assert error(found, exact(toy, each, LABELS).latent) <= bound(table)


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("stage", [0, 2, 4])
def test_every_number_of_every_stage_matters(denoiser, stage, index):
    """One wrong number shows in the result, as it shows in the reference."""
    right = numbers_of(2)
    wrong = right.copy()
    wrong[stage, index] += 3.0
    found = [alone(denoiser, work(told_table(each), seed=3)).latent for each in (right, wrong)]
    assert error(found[1], found[0]) > 0.02


@pytest.mark.parametrize(("count", "names"), [(0, "none"), (2, "step_size, scale")])
def test_a_number_that_no_input_takes_is_refused(count, names, tmp_path):
    """It would be lost without a word; a pool that refuses goes on."""
    pool = pool_of(perceptron(seed=7, scalars=NAMES[:count]).denoiser(tmp_path), slots=1)
    message = rf"scalars 0 to 2, as the size of a step; the card names inputs for {names}\."
    with pytest.raises(InvalidInput, match=message):
        pool.submit(work(told_table(numbers_of(3, count=3)), seed=3))
    pool.submit(work(told_table(numbers_of(3, count=count)), seed=3))
    finish(pool)


def test_numbers_of_rows_that_ask_nobody_are_not_told(tmp_path):
    table = told_table(numbers_of(3, count=0))
    scalars = table.scalars.copy()
    scalars[0] = 1.0  # of the prologue
    denoiser = perceptron(seed=7).denoiser(tmp_path)
    denoiser.check(replace(table, scalars=scalars.copy()))
    scalars[1:, :, 0] = 1.0
    with pytest.raises(InvalidInput, match="tells the network more than the time"):
        denoiser.check(replace(table, scalars=scalars))
    denoiser.check(replace(table, scalars=scalars), engine=1)  # another engine is told them


def test_the_inputs_of_every_call_hold_the_numbers_of_their_stage(denoiser):
    """Two slots at different stages, cond and uncond side by side."""
    seen = []
    watched, _ = spied(
        denoiser, before=lambda b: seen.append(np.stack([b[name] for name in NAMES], axis=1).copy())
    )
    pool = pool_of(watched, slots=2)
    first, second = numbers_of(4, 3), numbers_of(5, 4)
    pool.submit(work(told_table(first, CFG(2.0)), LABELS, seed=1))
    tick(pool)
    pool.submit(work(told_table(second), LABELS, seed=2))
    finish(pool)
    wanted = [
        [first[0], first[0]],
        [first[1], first[1], second[0]],
        [first[2], first[2], second[1]],
        [second[2]],
        [second[3]],
    ]
    assert len(seen) == len(wanted)
    for found, numbers in zip(seen, wanted, strict=True):
        assert np.array_equal(found, np.array(numbers, np.float32))


def test_branches_that_are_told_different_numbers_have_a_lane_each(toy, denoiser):
    """The same condition at two step sizes, as self-consistency asks for it."""
    form, numbers = Form(1, 2), np.zeros((4, 2, 4))
    numbers[1:, :, 0] = [[0.5, 0.25], [0.25, 0.125], [0.5, 0.5]]
    matrix = blank(form, 3)
    matrix[1:, form.register_row(0), :3] = 0.7, 0.4, -0.2
    condition = np.zeros((4, 2), np.int64)
    condition[0] = -1
    table = assemble(form, matrix, condition=condition, scalars=numbers)
    assert [len(row) for row in table.lanes] == [0, 2, 2, 1]
    each = work(table, (3,), seed=4)
    watched, spy = spied(denoiser)
    found = alone(watched, each)
    assert spy.runs == [2, 2, 1]
    wanted = exact(toy, each, (3,))
    assert wanted.evaluations == table.nfe == 5
    assert error(found.latent, wanted.latent) <= bound(table)


def any_work(rng):
    stages = int(rng.integers(1, 8))
    guidance = [None, CFG(2.0), CFG(3.0, interval=(0.4, 3.0))][int(rng.integers(3))]
    table = told_table(rng.uniform(-1, 1, (stages, 4)), guidance, shift=float(rng.uniform(1, 3)))
    return random_work(rng, table)[0]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_in_a_batch_every_work_has_the_bits_that_it_has_alone(kind, tmp_path):
    plain = perceptron(seed=7, scalars=NAMES, **kind).denoiser(tmp_path)
    rng = np.random.default_rng(6)
    works = [any_work(rng) for _ in range(20)]
    for each, found in zip(works, run(plain, works, slots=5), strict=True):
        assert_same(found, alone(plain, each))


def test_parking_changes_no_bits(denoiser):
    rng = np.random.default_rng(7)
    pool = pool_of(denoiser, slots=2)
    works = [any_work(rng) for _ in range(8)]
    for each, found in interrupt(pool, works, rng, lambda: any_work(rng)):
        assert_same(found, alone(denoiser, each))
    assert pool.parked > 3


def test_inputs_come_from_the_register_that_the_table_names(toy, denoiser):
    """Against a loop by hand; the register lies elsewhere after every row."""
    scales = [0.5, 2.0, 1.0, 1.5]
    table = moving_table(scales)
    assert table.rename[:, 1].tolist() != [1] * 5
    each = work(table, (3,), seed=9)
    n = toy.shape.layout.elements
    a, b = (philox.normals(9, draw=draw, count=n, dtype=np.float64) for draw in (0, 1))
    for step, scale in enumerate(scales):
        number, time = 2 / 3 * step - 1, (step + 1) / 4
        a, b = b, 0.6 * a + 0.5 * toy.answer(scale * b, time, 3, [number])
    assert error(exact(toy, each, (3,)).latent, a) < 1e-12
    watched, spy = spied(denoiser)
    assert error(alone(watched, each).latent, a) <= bound(table)
    assert spy.runs == [1] * 4
    for change in (
        moving_table([1.0] * 4),
        replace(table, input_register=0 * table.input_register),
    ):
        other = alone(denoiser, replace(each, table=change, asks=row_asks(change)))
        assert error(other.latent, a) > 0.05
