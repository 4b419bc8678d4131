"""The bound of a pool's memory against what tracemalloc sees it take."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from denoisert.kernels.step.form import Form
from denoisert.runtime.bundle.card import TimeShape
from denoisert.runtime.devices.buffers import LaneBuffers, lane_bytes
from denoisert.runtime.devices.numpy import WORKSPACE_BYTES, NumpyDevice
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.solvers import DPMpp2M
from tests.runtime.networks import perceptron
from tests.runtime.samplers import flow_table, wide_table
from tests.runtime.spies import finish, pool_of, work

LATENT = StateLayout((Part("latent", (4, 48, 48)),))
LATENT_BYTES = 4 * LATENT.elements
SMALL_OBJECTS = 60_000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return perceptron(seed=1, layout=LATENT).denoiser(tmp_path_factory.mktemp("large"))


@pytest.fixture
def traced():
    """Bytes that have been taken since the test began: now, and at most."""
    tracemalloc.start()
    yield tracemalloc.get_traced_memory
    tracemalloc.stop()


@pytest.mark.parametrize("slots", [1, 5])
@pytest.mark.parametrize("form", [Form(4, 2), Form(8, 3, 2, 1)])
def test_a_memory_knows_what_it_holds(large, form, slots, traced):
    memory = NumpyDevice().memory(large.layout, [large], slots=slots, rows=64)
    if form != memory.form:
        memory.grow(form)
    held, _ = traced()
    assert memory.nbytes(form) - WORKSPACE_BYTES <= held
    assert held <= memory.nbytes(form) + SMALL_OBJECTS


def test_a_memory_knows_what_it_would_hold(large):
    memory = NumpyDevice().memory(large.layout, [large], slots=3, rows=64)
    form = Form(8, 4, 1, 2)
    before = memory.nbytes(form)
    assert before > memory.nbytes(memory.form)
    memory.grow(form)
    assert memory.nbytes(memory.form) == before


@pytest.mark.parametrize(
    "shape", [{}, {"batch": 3}, {"time": TimeShape.SCALAR}, {"scalars": ("size",)}], ids=str
)
def test_lanes_are_counted_before_they_exist(shape, tmp_path):
    denoiser = perceptron(**shape).denoiser(tmp_path)
    lanes = LaneBuffers(denoiser, 3, 2, 2)
    whole = lanes.slices(0, 100)
    if denoiser.has_scalar_time:
        whole["time"] = np.zeros(len(whole["latent"]), np.float32)
    taken = sum(each.nbytes for each in (*whole.values(), *lanes.bank.values()))
    assert lane_bytes(denoiser, 3, 2, 2) == pytest.approx(taken, abs=4 * len(whole["latent"]))


def test_a_pool_stays_below_its_bound_while_it_grows_parks_and_shows(large, traced):
    pool = pool_of(large, slots=2)
    tables = [
        (flow_table(DPMpp2M(), 9, CFG(2.0), previews=3), 0, 3),
        (flow_table(steps=9), 0, 0),
        (wide_table(7, 5, taps=2), 1, 0),
        (wide_table(8, 5, taps=1), 2, 0),
    ]
    bound = 0
    for table, priority, previews in tables:
        each = work(table, (1, 2), priority=priority, previews=previews)
        bound = max(bound, pool.nbytes(table, parked=2))
        pool.submit(each)
        tick(pool)
        tick(pool)
        held, peak = traced()
        assert held < peak <= bound
    assert pool.parked == 2
    finish(pool)
    assert traced()[1] <= bound
    assert bound < 4 * traced()[1]


def test_parked_works_and_wider_tables_cost_what_they_hold(large):
    pool = pool_of(large, slots=2)
    pool.submit(work(flow_table(steps=9)))
    idle = pool.nbytes()
    assert pool.nbytes(parked=3) - idle == 3 * (4 * LATENT_BYTES + 32)
    grown = pool.nbytes(wide_table(7))
    assert grown > 2 * idle
    assert pool.nbytes(wide_table(7, taps=2)) > grown
    tick(pool)
    assert pool.nbytes() == idle
    urgent = [work(flow_table(steps=9), seed=seed, priority=1) for seed in range(2)]
    for each in urgent:
        pool.submit(each)
    tick(pool)
    assert pool.parked == 1
    assert pool.nbytes() - idle == 4 * LATENT_BYTES + 32
    pool.submit(replace(urgent[0], priority=0))
    assert pool.nbytes() - idle == 4 * LATENT_BYTES + 32
