"""Branches that share a lane, numbers beside the time, and inputs from any register, on tensors."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from denoisert.kernels.step.record import FORMS
from denoisert.runtime.bundle.card import TimeShape
from denoisert.runtime.loop.asks import row_asks
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.guidance import CFG
from tests.runtime.devices.torch.pointwise import pointwise
from tests.runtime.devices.torch_places import (
    assert_same,
    torch_alone,
    torch_pool,
    torch_run,
    torch_spied,
)
from tests.runtime.loop.test_parking import interrupt
from tests.runtime.loop.test_shared_lanes import LABELS, separate
from tests.runtime.networks import perceptron
from tests.runtime.samplers import random_work
from tests.runtime.shared import GUIDED, moving_table, told_table, variance_table
from tests.runtime.spies import error, finish, work

NAMES = ("step_size", "second")


@pytest.fixture(scope="module")
def steady_toy():
    """Two ports and two scalars."""
    return pointwise(ports=2, scalars=NAMES)


@pytest.fixture(scope="module")
def toy():
    return perceptron(seed=7, ports=2, scalars=NAMES)


def numbers_of(seed, stages=3):
    return np.random.default_rng(seed).uniform(-1, 1, (stages, 2))


def test_results_are_those_of_both_references(check, toy):
    works = [work(variance_table(2, each), LABELS, seed=2**63 + 3) for each in GUIDED]
    check(toy, works, [LABELS] * len(works))


@pytest.mark.parametrize("shape", [{"time": TimeShape.SCALAR}, {"batch": 3}], ids=str)
def test_engines_of_one_time_or_one_batch(check, shape):
    toy = perceptron(seed=7, ports=2, scalars=NAMES, **shape)
    works = [
        work(variance_table(3, CFG(2.0)), LABELS, seed=1),
        work(told_table(numbers_of(1), CFG(2.0)), LABELS, seed=2),
    ]
    check(toy, works, [LABELS] * 2, slots=2)


@pytest.mark.parametrize("guidance", GUIDED[1:4], ids=repr)
def test_the_engine_runs_once_a_lane(placed, steady_toy, kernel_device, guidance):
    """As many lanes as evaluations, and the bits of a run with a lane for every branch."""
    each = work(variance_table(3, guidance), LABELS, seed=5)
    found = []
    for one in (each, separate(each)):
        watched, spy = torch_spied(placed(steady_toy, kernel_device))
        found += torch_run(watched, [one], kernel_device, slots=1)
        assert spy.runs == [len(row) for row in one.table.lanes[1:]]
        assert sum(spy.runs) == one.table.nfe
    assert_same(*found)


def test_a_branch_without_a_lane_has_nowhere_to_write(placed, steady_toy, kernel_device):
    """Three addresses to read from, two lanes to write to; every other lane stays poison."""
    pool = torch_pool(placed(steady_toy, kernel_device), kernel_device, slots=2)
    table = variance_table(4, CFG(2.0))
    number = pool.submit(work(table, LABELS, seed=5))
    tick(pool)
    memory = pool.memory
    assert (memory.form, memory.lanes) == (FORMS[1], 2)
    addresses = memory._stage.download(memory._space.lanes)[0] != 0
    prediction, fed, time, *scalars = addresses.T
    assert prediction.tolist() == [True, True, True, False]
    for own in (fed, time, *scalars[:2]):
        assert own.tolist() == [True, True, False, False]
    assert not np.any(scalars[2:])
    spare = {name: each[2:] for name, each in memory.buffers(0, 0, 20).items() if name != "label"}
    for values in spare.values():
        values.fill_(float("nan"))
    tick(pool)
    tick(pool)
    assert all(torch.isnan(values).all() for values in spare.values())
    finish(pool)
    each = work(table, LABELS, seed=5)
    assert_same(
        pool.take(number), torch_alone(placed(steady_toy, kernel_device), each, kernel_device)
    )


def any_work(rng):
    """A learned variance, or numbers of every stage, under any guidance."""
    guidance = GUIDED[int(rng.integers(len(GUIDED)))]
    stages = int(rng.integers(1, 3))
    if rng.random() < 0.5:
        return random_work(rng, variance_table(stages, guidance))[0]
    return random_work(rng, told_table(rng.uniform(-1, 1, (stages, 2)), guidance))[0]


def test_in_a_batch_every_work_has_the_bits_that_it_has_alone(placed, steady_toy, kernel_device):
    denoiser, rng = placed(steady_toy, kernel_device), np.random.default_rng(11)
    works = [any_work(rng) for _ in range(4)]
    for each, found in zip(works, torch_run(denoiser, works, kernel_device, slots=3), strict=True):
        assert_same(found, torch_alone(denoiser, each, kernel_device))


def test_parking_changes_no_bits(placed, steady_toy, kernel_device):
    denoiser, rng = placed(steady_toy, kernel_device), np.random.default_rng(2)
    pool = torch_pool(denoiser, kernel_device, slots=1)
    tables = variance_table(4, GUIDED[3]), told_table(numbers_of(2, 4), CFG(2.0))
    works = [random_work(rng, table)[0] for table in tables]
    urgent = variance_table(1, CFG(2.0))
    for each, found in interrupt(pool, works, rng, lambda: random_work(rng, urgent)[0], 0.5):
        assert_same(found, torch_alone(denoiser, each, kernel_device))
    assert pool.parked > 1


def test_a_table_of_more_lanes_makes_every_slot_wider(placed, steady_toy, kernel_device):
    """The column space stays; buffers move, what runs goes on bit for bit."""
    denoiser = placed(steady_toy, kernel_device)
    pool = torch_pool(denoiser, kernel_device, slots=2)
    each = work(variance_table(2, CFG(2.0)), LABELS, seed=5)
    works = {pool.submit(each): each}
    tick(pool)
    before = pool.memory.nbytes(pool.memory.form)
    wide = separate(replace(each, seed=6))
    works[pool.submit(wide)] = wide
    tick(pool)
    assert (pool.memory.form, pool.memory.lanes) == (FORMS[1], 3)
    ports = (*denoiser.engine.inputs, *denoiser.engine.outputs)
    assert pool.memory.nbytes(FORMS[1]) - before == 2 * sum(port.nbytes(1) for port in ports)
    finish(pool)
    for number, one in works.items():
        assert_same(pool.take(number), torch_alone(denoiser, one, kernel_device))


def test_previews_cost_no_lane(placed, steady_toy, kernel_device):
    watched, spy = torch_spied(placed(steady_toy, kernel_device))
    pool = torch_pool(watched, kernel_device, slots=1)
    table = variance_table(4, CFG(2.0), previews=2)
    number = pool.submit(work(table, LABELS, seed=5, previews=2))
    finish(pool)
    assert spy.runs == [2] * 4
    assert [each[:2] for each in pool.previews] == [(number, 2), (number, 4)]


def test_a_graph_is_told_what_the_table_says(check, toy):
    """Numbers that change at every stage, beside a work that is told nothing."""
    works = [
        work(told_table(numbers_of(1), CFG(2.0)), LABELS, seed=1),
        work(told_table(numbers_of(2)), LABELS, seed=2),
        work(told_table([()] * 3), LABELS, seed=3),
    ]
    check(toy, works, [LABELS] * 3)


@pytest.mark.parametrize("index", [0, 1])
def test_every_number_matters(placed, toy, kernel_device, index):
    right = numbers_of(3)
    wrong = right.copy()
    wrong[1, index] += 3.0
    works = [work(told_table(each), seed=3) for each in (right, wrong)]
    one, other = torch_run(placed(toy, kernel_device), works, kernel_device)
    assert error(other.latent, one.latent) > 0.02


def test_inputs_come_from_the_register_that_the_table_names(check, placed, toy, kernel_device):
    """Registers that change places after every row, each with a scale of its own."""
    table = moving_table([0.5, 2.0, 1.0, 1.5])
    each = work(table, (3,), seed=9)
    check(toy, [each], [(3,)])
    for change in (
        moving_table([1.0] * 4),
        replace(table, input_register=0 * table.input_register),
    ):
        other = replace(each, table=change, asks=row_asks(change))
        found = torch_run(placed(toy, kernel_device), [each, other], kernel_device)
        assert error(found[1].latent, found[0].latent) > 0.05
