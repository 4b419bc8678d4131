"""Ticks allocate nothing: all memory of latent size exists before the first one."""

import gc
import tracemalloc

import pytest

from denoisert.runtime.errors import Cancelled
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.operations import Clip, DynamicThreshold
from denoisert.runtime.sampling.solvers import DDIM, DPMpp2M, Euler, EulerAncestral, Heun
from tests.runtime.networks import perceptron
from tests.runtime.samplers import channel_table, flow_table
from tests.runtime.spies import pool_of, work

LATENT = StateLayout((Part("latent", (4, 64, 64)),))  # 64 KiB
LATENT_BYTES = 4 * LATENT.elements
STEPS = 120
WARM_UP, TICKS = 20, 50

KINDS = {
    "deterministic": flow_table(Euler(), STEPS, CFG(2.0)),
    "multistep": flow_table(DPMpp2M(), STEPS, CFG(2.0)),
    "two stages": flow_table(Heun(), STEPS, CFG(2.0)),
    "stochastic": flow_table(EulerAncestral(), STEPS, CFG(2.0)),
    "stochastic, one branch": flow_table(DDIM(eta=0.5), STEPS),
    "CFG rescale": flow_table(Euler(), STEPS, CFG(2.0, rescale=0.7)),
    "a rule for every channel": channel_table(steps=STEPS),
    "clip": flow_table(Euler(), STEPS, CFG(2.0), Clip()),
    "dynamic threshold": flow_table(Euler(), STEPS, CFG(2.0), DynamicThreshold()),
}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return perceptron(seed=1, layout=LATENT).denoiser(tmp_path_factory.mktemp("large"))


def full_pool(denoiser, tables):
    pool = pool_of(denoiser, slots=8)
    for slot in range(8):
        pool.submit(work(tables[slot % len(tables)], (slot, 10), seed=slot))
    for _ in range(WARM_UP):
        tick(pool)
    assert len(pool.active) == 8
    return pool


def measured(pool):
    """Net growth without ONNX Runtime's own objects, and peak of all, in bytes over the ticks."""
    tracemalloc.start()
    try:
        for _ in range(WARM_UP):
            tick(pool)
        ours()  # which fills the caches of its own file patterns
        before = ours()
        tracemalloc.reset_peak()
        start, _ = tracemalloc.get_traced_memory()
        for _ in range(TICKS):
            tick(pool)
        _, peak = tracemalloc.get_traced_memory()
        after = ours()
    finally:
        tracemalloc.stop()
    return after - before, peak - start


def ours():
    """Bytes alive that neither tracemalloc nor ONNX Runtime holds.

    The first 150 calls of a session leave 124 bytes each behind; later ones leave nothing.
    """
    gc.collect()
    foreign = [tracemalloc.__file__, "*/onnxruntime/*"]
    filters = [tracemalloc.Filter(False, pattern) for pattern in foreign]
    statistics = tracemalloc.take_snapshot().filter_traces(filters).statistics("filename")
    return sum(entry.size for entry in statistics)


@pytest.mark.parametrize("kind", KINDS)
def test_ticks_of_one_kind_allocate_nothing(large, kind):
    growth, peak = measured(full_pool(large, [KINDS[kind]]))
    assert growth < LATENT_BYTES / 16
    assert peak < LATENT_BYTES / 2


def test_ticks_of_all_kinds_together_allocate_nothing(large):
    growth, peak = measured(full_pool(large, list(KINDS.values())))
    assert growth < LATENT_BYTES / 16
    assert peak < LATENT_BYTES / 2


def test_a_queue_behind_full_slots_costs_no_memory(large):
    pool = full_pool(large, [KINDS["deterministic"]])
    for number in range(40):
        pool.submit(work(KINDS["multistep"], seed=number, priority=-(number % 3)))
    growth, peak = measured(pool)
    assert growth < LATENT_BYTES / 16
    assert peak < LATENT_BYTES / 2


def test_previews_leave_nothing_behind_but_what_the_caller_keeps(large):
    """Two of eight slots show every fifth step; the copies go with the list that held them."""
    shown = flow_table(Euler(), STEPS, CFG(2.0), previews=5)
    pool = full_pool(large, [KINDS["deterministic"]])
    for number in pool.running[:2]:
        pool.cancel(number, Cancelled("makes room."))
        pool.submit(work(shown, seed=number, previews=5))
    seen = []

    def ticked_and_drained(slots, step=pool.memory.step):
        seen.append(len(pool.previews))
        pool.previews.clear()
        return step(slots)

    pool.memory.step = ticked_and_drained
    growth, peak = measured(pool)
    assert max(seen) == 2
    assert growth < 2.5 * LATENT_BYTES  # those of the last tick, if it was a fifth
    assert peak < 2.5 * LATENT_BYTES


def test_the_measurement_sees_an_allocation(large):
    """A pool that copies one latent in a tick would be caught."""
    pool = full_pool(large, [KINDS["deterministic"]])
    step = pool.memory.step
    pool.memory.step = lambda slots: (pool.memory.latent(slots[0]), step(slots))[1]
    assert measured(pool)[1] > LATENT_BYTES / 2
