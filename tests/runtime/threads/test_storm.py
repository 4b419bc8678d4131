"""Many threads, random requests, cancels, deadlines and closes: everything ends exactly once."""

import gc
import tracemalloc
import weakref

import pytest

from denoisert.runtime import Runtime
from tests.runtime.bundles import compiled
from tests.runtime.networks import perceptron
from tests.runtime.threads.storm import (
    BREAKING,
    PLAIN,
    WORDS,
    Storm,
    check_over,
    collected,
    our_threads,
    solo_runs,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return compiled(perceptron(breaks=(BREAKING, 0.6)), tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def solo(bundle):
    return solo_runs(bundle, PLAIN)


def run(bundle, solo, seed, actions, plain=PLAIN):
    """One storm; nothing of its runtime may stay."""
    devices = ("cpu",) * (1 + seed % 2)
    runtime = Runtime.open(bundle, threads=1, slots=3, queue=12, devices=devices)
    storm = Storm(runtime, plain, solo, seed)
    storm.run(actions)
    check_over(storm)
    assert storm.ended["done"] > 0
    assert storm.ended["Cancelled"] > 0
    gone = weakref.ref(runtime)
    del runtime
    storm.runtime = None
    assert collected(gone)
    return storm


@pytest.mark.parametrize("seed", [1, 2])
def test_a_small_storm(bundle, solo, seed):
    run(bundle, solo, seed, 8)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_storm_of_two_hundred_requests(bundle, solo, seed):
    run(bundle, solo, seed, 25)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_prompts_and_pictures(text_bundle, seed):
    """The same with a codec: text encoder, image encoder and decoder beside the loop."""
    run(text_bundle, solo_runs(text_bundle, WORDS), seed, 8, WORDS)


@pytest.mark.slow
def test_storms_leave_no_memory_behind(bundle, solo):
    run(bundle, solo, 0, 25)
    sizes = []
    tracemalloc.start()
    try:
        for seed in range(6):
            run(bundle, solo, seed, 10)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[-1] - sizes[1] < 100_000, sizes
    assert our_threads() == []
