"""The runtime as a service embeds it: generate, progress, traces, threads, forks, closing."""

import gc
import json
import threading
import weakref

import numpy as np
import pytest

from denoisert.runtime import CFG, Condition, DPMpp2M, EulerAncestral, Request, Runtime, Trace
from denoisert.runtime.errors import EngineError, InvalidInput, ManifestMismatch, NonFinite
from tests.runtime.bundles import compiled, watched
from tests.runtime.networks import NULL, perceptron
from tests.runtime.samplers import flow_table
from tests.runtime.spies import alone, work


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return compiled(perceptron(), tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def runtime(bundle):
    with Runtime.open(bundle, threads=1) as opened:
        yield opened


MANY = [
    Request(3, seed=7, images=3, guidance=CFG(3.0)),
    Request(Condition(1, negative=4), seed=8, steps=9, solver=DPMpp2M(), guidance=CFG(2.0)),
    Request(0, seed=9, images=11, steps=4, solver=EulerAncestral()),
]


def test_a_request_runs_its_table(runtime, tmp_path):
    """The public way and the pool's own give the same bits."""
    denoiser = perceptron().denoiser(tmp_path)
    table = flow_table(EulerAncestral(), 6, CFG(2.0), shift=1.0)
    request = Request(3, seed=77, images=2, steps=6, solver=EulerAncestral(), guidance=CFG(2.0))
    flat = runtime.generate(request).flat
    for image in range(2):
        wanted = alone(denoiser, work(table, (3, NULL), seed=77, image=image)).latent
        assert np.array_equal(flat[image], wanted)


def test_one_request_gives_one_result_and_a_sequence_a_list(runtime):
    one = runtime.generate(MANY[0])
    several = runtime.generate(MANY)
    assert [len(result.flat) for result in several] == [3, 1, 11]
    assert np.array_equal(one.flat, several[0].flat)
    assert (one.nfe, several[2].nfe) == (10, 4)
    assert runtime.generate([]) == []
    assert isinstance(runtime.generate([MANY[1]]), list)
    assert len(runtime.generate(iter(MANY))) == 3


def test_results_come_in_the_order_of_the_requests(runtime):
    there, back = runtime.generate(MANY), runtime.generate(MANY[::-1])
    for result, other in zip(there, reversed(back), strict=True):
        assert np.array_equal(result.flat, other.flat)


@pytest.mark.parametrize("solver", [None, EulerAncestral()])
def test_picture_i_is_the_same_whatever_the_number_of_pictures(runtime, solver):
    alike = {"seed": 5, "solver": solver, "guidance": CFG(2.0)}
    ten = runtime.generate(Request(2, images=10, **alike)).flat
    for count in (1, 2, 9):
        assert np.array_equal(runtime.generate(Request(2, images=count, **alike)).flat, ten[:count])
    assert len(np.unique(ten, axis=0)) == 10


def test_the_number_of_slots_changes_no_bits(bundle, runtime):
    wanted = runtime.generate(MANY)
    for slots in (1, 3, 40):
        with Runtime.open(bundle, threads=1, slots=slots) as other:
            for result, same in zip(other.generate(MANY), wanted, strict=True):
                assert np.array_equal(result.flat, same.flat)


def test_latents_and_pictures_have_the_cards_shape(runtime):
    result = runtime.generate(MANY[0])
    assert result.latents["latent"].shape == (3, 2, 6, 5)
    with pytest.raises(InvalidInput, match="not pictures"):
        _ = result.images
    assert set(result.phases) == {"plan", "queue", "ticks", "engine"}
    assert 0 < result.phases["engine"] < result.phases["ticks"]


def test_progress_counts_every_row_once(runtime):
    seen = []
    runtime.generate(MANY, progress=lambda done, total: seen.append((done, total)))
    total = 3 * 5 + 9 + 11 * 4
    assert {entry[1] for entry in seen} == {total}
    steps = [done for done, _ in seen]
    assert steps == sorted(set(steps))
    assert steps[-1] == total


def test_a_raising_progress_callback_leaves_the_runtime_usable(runtime):
    class Stop(Exception):
        pass

    def stop(done, total):
        if done > 10:
            raise Stop

    wanted = runtime.generate(MANY)
    with pytest.raises(Stop):
        runtime.generate(MANY, progress=stop)
    assert runtime.stats()["requests_running"] == runtime.stats()["requests_waiting"] == 0
    for result, same in zip(runtime.generate(MANY), wanted, strict=True):
        assert np.array_equal(result.flat, same.flat)


def test_a_progress_callback_may_use_the_runtime(runtime):
    """It runs in the caller's thread: the loop goes on meanwhile, and nothing waits for it."""
    wanted = [runtime.generate(request).flat for request in MANY]
    inner, plans = [], []

    def nest(done, total):
        plans.append(runtime.plan(MANY[1]))
        if not inner:
            inner.append(runtime.generate(MANY[1]).flat)

    found = runtime.generate([MANY[0], MANY[2]], progress=nest)
    assert np.array_equal(inner[0], wanted[1])
    assert [np.array_equal(r.flat, wanted[i]) for r, i in zip(found, (0, 2), strict=True)] == [
        True
    ] * 2
    assert 1 <= len(plans) <= 5 + 2 * 4  # news that came during a callback comes as one


def test_the_trace_shows_plan_ticks_and_engine(runtime, tmp_path):
    trace = Trace()
    runtime.generate(MANY, trace=trace)
    path = tmp_path / "trace.json"
    trace.write(path)
    spans = [e for e in json.loads(path.read_text())["traceEvents"] if e["ph"] == "X"]
    names = [span["name"] for span in spans]
    assert names.count("plan") == names.count("queue") == names.count("ticks") == len(MANY)
    assert names.count("tick") == names.count("engine") >= 9
    for tick, engine in zip(
        *([s for s in spans if s["name"] == name] for name in ("tick", "engine")), strict=True
    ):
        assert tick["ts"] <= engine["ts"] + 1e-3
        assert engine["ts"] + engine["dur"] <= tick["ts"] + tick["dur"] + 1e-3
        assert 1 <= tick["args"]["slots"] <= 8
        assert engine["args"]["lanes"] >= tick["args"]["slots"]


def test_calls_from_four_threads_give_right_results(runtime):
    requests = [Request(i % 10, seed=i, images=2, steps=3 + i, guidance=CFG(2.0)) for i in range(8)]
    wanted = [runtime.generate(request).flat for request in requests]
    found = {}

    def serve(first):
        for index in range(first, 8, 4):
            runtime.plan(requests[index])
            found[index] = runtime.generate(requests[index]).flat

    threads = [threading.Thread(target=serve, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == list(range(8))
    for index, flat in found.items():
        assert np.array_equal(flat, wanted[index])


@pytest.mark.parametrize("wrong", ["3", 3, None, [3], [MANY[0], "3"], {"condition": 3}])
def test_only_requests_are_taken(runtime, wrong):
    with pytest.raises(InvalidInput, match=r"Pass Request\("):
        runtime.generate(wrong)


def test_closing_releases_the_session_and_refuses_more(bundle):
    with Runtime.open(bundle) as opened:
        opened.generate(MANY[0])
        resident = opened._crew.loops[0]._pool.denoisers[0].engine.resident
        session = weakref.ref(resident.engine()._opened.session)
    opened.close()
    gc.collect()
    assert session() is None
    for ask in (opened.generate, opened.plan):
        with pytest.raises(EngineError, match="closed"):
            ask(MANY[0])
    with pytest.raises(EngineError, match="closed"):
        opened.generate([])


def test_open_refuses_what_makes_no_sense(bundle):
    for wrong in ({"slots": 0}, {"threads": 0}, {"slots": -1}):
        with pytest.raises(InvalidInput):
            Runtime.open(bundle, **wrong)
    with pytest.raises(ManifestMismatch):
        Runtime.open(bundle, expect="0" * 64)


def test_repr_reads_like_the_call_and_says_what_runs(bundle, runtime):
    assert repr(runtime).startswith(f"Runtime.open('{bundle}')  # onnxruntime ")
    assert runtime.card.name == "toy"
    assert len(runtime.bundle_id) == 64
    with Runtime.open(bundle, expect=runtime.bundle_id) as same:
        assert same.bundle_id == runtime.bundle_id


@pytest.fixture(scope="module")
def breaking(tmp_path_factory):
    """Class 7 becomes NaN at the third of five steps."""
    return compiled(perceptron(breaks=(7, 0.6)), tmp_path_factory.mktemp("breaking"))


def test_a_failed_request_raises_alone_and_reports_in_a_sequence(breaking):
    with Runtime.open(breaking, threads=1) as runtime:
        with pytest.raises(NonFinite, match=r"picture 0 of seed 4 .* stage 3 of 5"):
            runtime.generate(Request(7, seed=4))
        asked = [Request(1, seed=1), Request(7, seed=4, images=3), Request(2, images=9)]
        first, failed, last = runtime.generate(asked)
        assert isinstance(failed.error, NonFinite)
        assert failed.flat.shape == (0, 60)
        with pytest.raises(NonFinite):
            _ = failed.latents
        for request, result in ((asked[0], first), (asked[2], last)):
            assert np.array_equal(runtime.generate(request).flat, result.flat)


def test_an_engine_failure_is_raised_and_passes(bundle, runtime):
    other, spy = watched(bundle, slots=2, failing={4})
    with pytest.raises(EngineError, match="injected"):
        other.generate(MANY[0])
    assert np.array_equal(other.generate(MANY[0]).flat, runtime.generate(MANY[0]).flat)
    other.close()
    assert spy.is_closed


def test_an_engine_failure_in_a_sequence_ends_what_ran_and_spares_the_rest(bundle, runtime):
    other, _ = watched(bundle, slots=2, failing={3})
    asked = [Request(i, seed=i) for i in range(5)]
    results = other.generate(asked)
    assert [result.error is not None for result in results] == [True, True, False, False, False]
    assert results[0].error is results[1].error
    for request, result in zip(asked[2:], results[2:], strict=True):
        assert np.array_equal(result.flat, runtime.generate(request).flat)
    other.close()


def test_a_latent_that_overflows_is_an_error_and_no_warning(tmp_path):
    huge = compiled(perceptron(gain=1e30), tmp_path)
    with Runtime.open(huge) as runtime, pytest.raises(NonFinite):
        runtime.generate(Request(1, seed=1, guidance=CFG(1e10)))
