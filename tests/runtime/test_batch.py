"""Several planned requests on one pool: submitted, ticked, taken, and cleaned up after."""

import numpy as np
import pytest

from denoisert.runtime import CFG, Request, Trace
from denoisert.runtime.batch import Batch
from denoisert.runtime.errors import InvalidTable
from denoisert.runtime.planner import Planner
from denoisert.runtime.sampler import TableCache
from tests.runtime.networks import perceptron
from tests.runtime.spies import pool_of, spied

TOY = perceptron()
CARD = TOY.card()


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory):
    return TOY.denoiser(tmp_path_factory.mktemp("toy"))


def planned(denoiser, *requests):
    planner = Planner(denoiser, TableCache(CARD), "here", 4)
    return [(request, planner.plan(request)) for request in requests]


def test_images_of_a_request_share_its_seed_and_differ_by_number(denoiser):
    pool = pool_of(denoiser, slots=4)
    asked = planned(denoiser, Request(1, seed=3, images=5), Request(1, seed=4))
    first, second = Batch(pool, CARD, None, None).run(asked)
    assert first.flat.shape == (5, 60)
    assert first.flat.dtype == np.float32
    assert len(np.unique(np.concatenate([first.flat, second.flat]), axis=0)) == 6
    assert first.phases is not second.phases


def test_the_pool_is_left_as_it_was_found(denoiser):
    pool = pool_of(denoiser, slots=4)
    Batch(pool, CARD, None, None).run(planned(denoiser, Request(1, images=9)))
    assert pool.is_idle
    assert not pool.outcomes
    assert not pool._numbers
    assert all(lease.references == 0 for lease in pool._arena.leases)


@pytest.mark.parametrize("tick", [1, 4, 7])
def test_whatever_is_raised_between_ticks_leaves_the_pool_empty(denoiser, tick):
    pool = pool_of(denoiser, slots=3)
    seen = []

    def interrupt(done, total):
        seen.append(done)
        if len(seen) == tick:
            raise KeyboardInterrupt

    asked = planned(denoiser, Request(1, images=4, steps=3), Request(2, steps=9, guidance=CFG(2.0)))
    with pytest.raises(KeyboardInterrupt):
        Batch(pool, CARD, interrupt, None).run(asked)
    assert pool.is_idle
    assert not pool.outcomes
    assert len(Batch(pool, CARD, None, None).run(asked)) == 2


def test_a_refused_table_leaves_nothing_waiting(denoiser):
    pool = pool_of(denoiser, slots=3, arena_rows=10)
    asked = planned(denoiser, Request(1, images=3, steps=4), Request(1, steps=12))
    with pytest.raises(InvalidTable, match="fewer steps"):
        Batch(pool, CARD, None, None).run(asked)
    assert pool.is_idle
    (result,) = Batch(pool, CARD, None, None).run(asked[:1])
    assert len(result.flat) == 3


def test_failed_rows_are_not_counted_as_done(denoiser):
    failing, _ = spied(denoiser, failing={2})
    seen = []
    pool = pool_of(failing, slots=2)
    asked = planned(denoiser, Request(1, steps=3), Request(2, steps=3), Request(3, steps=3))
    results = Batch(pool, CARD, lambda *counts: seen.append(counts), None).run(asked)
    assert [result.error is None for result in results] == [False, False, True]
    assert seen[-1][0] <= seen[-1][1] == 9


def test_spans_lie_within_the_run_and_engine_time_is_their_sum(denoiser):
    pool, trace = pool_of(denoiser, slots=2), Trace()
    (result,) = Batch(pool, CARD, None, trace).run(planned(denoiser, Request(1, images=4)))
    engine = [span.end_ns - span.start_ns for span in trace.spans if span.name == "engine"]
    assert len(engine) == 10
    assert result.phases["engine"] == pytest.approx(sum(engine) / 1e6)
    assert sum(engine) / 1e6 <= result.phases["ticks"]


def test_an_empty_batch_runs_nothing(denoiser):
    watched, spy = spied(denoiser)
    assert Batch(pool_of(watched, slots=1), CARD, None, None).run([]) == []
    assert spy.runs == []
