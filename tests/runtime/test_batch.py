"""Several requests that one caller waits for: let in, followed, collected, and cleaned up after."""

import threading
import time

import numpy as np
import pytest

from denoisert.runtime import CFG, Heun, Request, Runtime
from denoisert.runtime.batch import listed
from denoisert.runtime.errors import EngineError, InvalidInput
from tests.runtime.bundles import compiled, watched
from tests.runtime.networks import perceptron


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return compiled(perceptron(), tmp_path_factory.mktemp("toy"))


def idle(runtime):
    stats = runtime.stats()
    return stats["requests_waiting"] == stats["requests_running"] == 0


def test_images_of_a_request_share_its_seed_and_differ_by_number(bundle):
    with Runtime.open(bundle, threads=1, slots=4) as runtime:
        asked = [Request(1, seed=3, images=5), Request(1, seed=4)]
        first, second = runtime.generate(asked)
    assert first.flat.shape == (5, 60)
    assert first.flat.dtype == np.float32
    assert len(np.unique(np.concatenate([first.flat, second.flat]), axis=0)) == 6
    assert first.phases is not second.phases


@pytest.mark.parametrize("queue", [1, 2, 64])
def test_more_requests_than_the_queue_holds_wait_for_room(bundle, queue):
    with Runtime.open(bundle, threads=1, slots=2, queue=queue) as runtime:
        results = runtime.generate([Request(i % 10, seed=i, steps=3) for i in range(20)])
        wanted = [runtime.generate(Request(i % 10, seed=i, steps=3)).flat for i in range(20)]
        assert runtime.stats()["requests_refused"] == 0
    for result, flat in zip(results, wanted, strict=True):
        assert np.array_equal(result.flat, flat)


@pytest.mark.parametrize("progress", [None, lambda *counts: None])
def test_several_callers_share_a_short_queue(bundle, progress):
    with Runtime.open(bundle, threads=1, slots=2, queue=2) as runtime:
        found = []

        def call():
            asked = [Request(i, steps=3) for i in range(6)]
            found.append(runtime.generate(asked, progress=progress))

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert [len(results) for results in found] == [6] * 4
    assert all(result.error is None for results in found for result in results)


@pytest.mark.parametrize("call", [1, 4, 7])
def test_whatever_a_callback_raises_leaves_nothing_running(bundle, call):
    with Runtime.open(bundle, threads=1, slots=3) as runtime:
        seen = []

        def interrupt(done, total):
            seen.append(done)
            if len(seen) == call or done == total:
                raise KeyboardInterrupt

        asked = [Request(1, images=4, steps=20), Request(2, steps=9, guidance=CFG(2.0))]
        with pytest.raises(KeyboardInterrupt):
            runtime.generate(asked, progress=interrupt)
        assert idle(runtime)
        assert len(runtime.generate(asked)) == 2


def test_failed_rows_are_not_counted_as_done(bundle):
    runtime, _ = watched(bundle, slots=2, failing={2})
    seen = []
    asked = [Request(i, steps=3) for i in (1, 2, 3)]
    results = runtime.generate(asked, progress=lambda *counts: seen.append(counts))
    assert [result.error is None for result in results] == [False, False, True]
    assert seen[-1] == (2 + 3, 9)
    runtime.close()


def test_rows_are_counted_where_a_step_has_two_of_them(bundle):
    seen = []
    with Runtime.open(bundle, threads=1) as runtime:
        runtime.generate(Request(1, steps=4, solver=Heun()), progress=lambda *c: seen.append(c))
    assert seen[-1] == (6, 6)  # on this path the first and the last step have no corrector


def test_a_slow_progress_callback_misses_ticks_and_delays_none(bundle):
    runtime, spy = watched(bundle)
    seen = []

    def slow(done, total):
        if not seen:
            while len(spy.runs) < 40:  # the loop is through long before
                time.sleep(0.001)
        seen.append(done)

    runtime.generate(Request(1, steps=40), progress=slow)
    assert len(seen) <= 2  # one where the loop was through before anybody looked
    assert seen[-1] == 40
    runtime.close()


def test_closing_ends_a_batch_that_still_waits_for_room(bundle):
    gate = threading.Event()
    runtime, _ = watched(bundle, slots=1, queue=1, before=lambda _: gate.wait(60))
    failed = []

    def call():
        try:
            runtime.generate([Request(i) for i in range(5)])
        except EngineError as error:
            failed.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    while runtime.stats()["requests_waiting"] < 1:
        time.sleep(0.001)
    closer = threading.Thread(target=runtime.close, kwargs={"drain_s": 0})
    closer.start()
    time.sleep(0.01)
    gate.set()
    caller.join(60)
    closer.join(60)
    assert "closed" in str(failed[0])
    assert idle(runtime)


def test_an_empty_batch_runs_nothing(bundle):
    runtime, spy = watched(bundle)
    assert runtime.generate([]) == []
    assert spy.runs == []
    runtime.close()


@pytest.mark.parametrize("wrong", ["red", 3, [Request(1), "red"], None])
def test_only_requests_are_listed(wrong):
    with pytest.raises(InvalidInput, match="is no request") as caught:
        listed(wrong)
    assert "red" not in str(caught.value)
    assert listed(Request(1)) == [Request(1)]
    assert len(listed(Request(i) for i in range(3))) == 3
