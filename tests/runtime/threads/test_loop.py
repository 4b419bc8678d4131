"""The loop between two ticks: deadlines, failures, priorities, traces, warm-up."""

import json
import threading
import time

import numpy as np
import pytest

from denoisert.runtime import CFG, Request, Runtime, Trace
from denoisert.runtime.errors import Cancelled, DeadlineExceeded, EngineError, NonFinite
from denoisert.runtime.events import Admitted, Ended
from denoisert.runtime.request import Limits
from denoisert.runtime.threads import loop as loops
from denoisert.runtime.threads.mailbox import Mailbox
from tests.runtime.bundles import watched, watched_codec
from tests.runtime.threads.gates import gated

LONG = Request(1, seed=3, steps=1000)


def soon(seconds=0.05):
    return Limits(deadline_s=seconds)


@pytest.fixture
def clock(monkeypatch):
    """The loop's clock; what is added to the list is seconds that have passed on it."""
    passed, real = [], loops.perf_counter_ns
    monkeypatch.setattr(loops, "perf_counter_ns", lambda: real() + int(sum(passed) * 1e9))
    return passed


def test_a_deadline_ends_a_running_request_at_a_tick(toy, clock):
    with gated(toy) as (runtime, gate, spy):
        ticket = runtime.submit(Request(1, steps=1000, limits=soon(500.0)))
        gate.let(2)
        gate.reached(3)
        clock.append(501.0)
        assert not ticket.is_done  # never in the middle of one
        gate.let()
        with pytest.raises(DeadlineExceeded, match=r"500\.0 s passed while it ran"):
            ticket.result(60)
        assert len(spy.runs) == 3
        stats = runtime.stats()
        assert (stats["requests_expired"], stats["requests_running"]) == (1, 0)


def test_a_deadline_ends_a_waiting_request_before_any_work(toy):
    with gated(toy, slots=1) as (runtime, gate, spy):
        first = runtime.submit(Request(1, steps=2))
        gate.reached(1)
        late = runtime.submit(Request(2, steps=2, limits=soon()))
        time.sleep(0.06)
        gate.free()
        with pytest.raises(DeadlineExceeded, match="before it got a slot") as caught:
            late.result(60)
        assert isinstance(caught.value, TimeoutError)
        assert [type(event) for event in late.events()] == [Ended]
        first.result(60)
        assert len(spy.runs) == 2


def test_a_deadline_wakes_a_loop_that_sleeps(text_bundle):
    """The codec is busy, nothing ticks: the loop keeps the time nevertheless."""
    opened, spies = watched_codec(text_bundle)
    with opened as runtime:
        gate = threading.Event()
        spies["text_encoder"].before = lambda _: gate.wait(60)
        try:
            ticket = runtime.submit(Request("red", steps=2, limits=soon(0.02)))
            with pytest.raises(DeadlineExceeded):
                ticket.result(30)
        finally:
            gate.set()
        runtime.generate(Request("red", steps=2))


def test_a_generous_deadline_changes_nothing(toy):
    with Runtime.open(toy, threads=1) as runtime:
        plain = runtime.generate(Request(1, seed=3))
        timed = runtime.generate(Request(1, seed=3, limits=Limits(deadline_s=1000.0)))
        assert np.array_equal(plain.flat, timed.flat)


def test_deadlines_of_the_past_do_not_pile_up(toy):
    far = Limits(deadline_s=10**6)
    with Runtime.open(toy, threads=1) as runtime:
        for _ in range(10):
            runtime.generate([Request(2, steps=1, limits=far) for _ in range(50)])
        assert len(runtime._crew.loops[0]._deadlines) < 300


def test_one_bad_picture_ends_its_request_and_frees_its_slots(toy):
    """Class 7 breaks at the third of five steps; its other pictures are not computed further."""
    with gated(toy, slots=3) as (runtime, gate, spy):
        bad = runtime.submit(Request(7, images=9))
        gate.reached(1)
        good = runtime.submit(Request(1, seed=4, images=2))
        gate.free()
        with pytest.raises(NonFinite, match="stage 3 of 5"):
            bad.result(60)
        found = good.result(60).flat
        assert len(spy.runs) == 3 + 5
    with Runtime.open(toy, threads=1) as alone:
        assert np.array_equal(found, alone.generate(Request(1, seed=4, images=2)).flat)


def test_a_failing_engine_ends_what_ran_and_the_loop_goes_on(toy):
    runtime, _ = watched(toy, slots=2, failing={4})
    results = runtime.generate([Request(i, seed=i) for i in range(5)])
    assert [type(result.error) for result in results[:2]] == [EngineError] * 2
    assert all(result.error is None for result in results[2:])
    assert runtime.stats()["requests_failed"] == 2
    runtime.close()


def test_higher_priority_parks_what_runs_and_no_bit_changes(toy):
    urgent = Request(2, seed=9, steps=3, limits=Limits(priority=5))
    with gated(toy, slots=1) as (runtime, gate, spy):
        low = runtime.submit(LONG)
        gate.let(4)
        gate.reached(5)
        high = runtime.submit(urgent)
        gate.let(4)
        high.result(60)
        assert not low.is_done
        assert runtime.stats()["parked"] == 1
        gate.free()
        parked = low.result(60)
        assert len(spy.runs) == 1003
    with Runtime.open(toy, threads=1) as alone:
        assert np.array_equal(parked.flat, alone.generate(LONG).flat)
        assert np.array_equal(high.result().flat, alone.generate(urgent).flat)


def test_a_parked_request_can_be_cancelled(toy):
    with gated(toy, slots=1) as (runtime, gate, _):
        low = runtime.submit(LONG)
        gate.let()
        gate.reached(2)
        high = runtime.submit(Request(2, steps=30, limits=Limits(priority=1)))
        gate.let(2)
        gate.reached(4)
        assert runtime.stats()["parked"] == 1
        low.cancel()
        gate.let()
        with pytest.raises(Cancelled):
            low.result(60)
        gate.free()
        high.result(60)


def test_a_request_that_ended_on_its_way_to_the_loop_is_not_computed(toy):
    """Cancelled between the desk and the loop, the news of it may come before the request."""
    with gated(toy) as (runtime, gate, _):
        (loop,) = runtime._crew.loops
        job = runtime._intake.job(LONG, 0, Mailbox(), ())
        job.ending.result = job.result(Cancelled("on its way"))
        assert loop.send(lambda: loop.take([job])).wait()
        assert loop.send(lambda: None).wait()
        assert gate.entered == 0
        assert loop._jobs == {}


@pytest.mark.parametrize("request_of", [Request(1, images=3), Request(7, images=9)])
def test_nothing_of_an_ended_request_is_kept(toy, request_of):
    with Runtime.open(toy, threads=1, slots=2, trace=Trace()) as runtime:
        (loop,) = runtime._crew.loops
        runtime.generate([request_of, Request(2)], progress=lambda *_: None)
        assert loop.send(lambda: None).wait()
        kept = (loop._jobs, loop._places, loop._held, loop._watched, loop._traced, loop._seen)
        assert [len(each) for each in kept] == [0] * 6
        assert loop.load == 0
        assert not loop._pool.outcomes


def test_requests_of_a_sequence_start_in_the_same_tick(toy):
    runtime, spy = watched(toy, slots=8)
    runtime.generate([Request(i, steps=3) for i in range(4)])
    assert spy.runs == [4, 4, 4]
    runtime.close()


def test_admission_is_told_before_the_first_tick(toy):
    with gated(toy) as (runtime, gate, _):
        ticket = runtime.submit(LONG)
        assert next(ticket.events()) == Admitted()
        assert gate.entered <= 1


def test_phases_add_up(toy):
    with Runtime.open(toy, threads=1) as runtime:
        start = time.perf_counter()
        result = runtime.submit(Request(1, steps=50, images=3)).result(60)
        elapsed = 1e3 * (time.perf_counter() - start)
    phases = result.phases
    assert set(phases) == {"plan", "queue", "ticks", "engine"}
    assert 0 < phases["engine"] < phases["ticks"]
    assert phases["plan"] + phases["queue"] + phases["ticks"] <= elapsed


def test_warming_runs_every_bucket_and_disturbs_nobody(toy):
    runtime, spy = watched(toy)
    wanted = runtime.generate(Request(1, seed=3, guidance=CFG(2.0))).flat
    spy.runs.clear()
    assert not runtime.is_ready
    runtime.warm()
    assert sorted(spy.runs) == list(range(1, 17))
    assert runtime.is_ready
    ticket = runtime.submit(LONG)
    runtime.warm()
    assert np.array_equal(runtime.generate(Request(1, seed=3, guidance=CFG(2.0))).flat, wanted)
    ticket.cancel()
    runtime.close()
    assert not runtime.is_ready


def test_warming_a_failing_engine_says_so(toy):
    runtime, _ = watched(toy, failing={1})
    with pytest.raises(EngineError, match="injected"):
        runtime.warm()
    assert not runtime.is_ready
    runtime.generate(Request(1))  # the loop lives
    runtime.warm()
    runtime.close()


def test_a_trace_of_the_whole_life_has_a_row_per_request_and_slot(toy, tmp_path):
    trace = Trace()
    with Runtime.open(toy, threads=1, slots=2, trace=trace) as runtime:
        runtime.generate([Request(i, steps=4) for i in (1, 2)])
        last = runtime.submit(Request(3, steps=4))
        last.result(60)
    tracks = {span.track for span in trace.spans}
    assert tracks == {"loop", "engine", "slot 0", "slot 1", "request 1", "request 2", "request 3"}
    assert last.id == 3
    for number in (1, 2, 3):
        own = {span.name: span for span in trace.spans if span.track == f"request {number}"}
        assert set(own) == {"plan", "queue", "ticks"}
        assert own["plan"].end_ns <= own["queue"].end_ns <= own["ticks"].end_ns
        steps = [span for span in trace.spans if span.args.get("request") == number]
        assert [span.args["row"] for span in steps] == [1, 2, 3, 4]
        assert len({span.track for span in steps}) == 1
    path = tmp_path / "trace.json"
    trace.write(path)
    assert json.loads(path.read_text())["traceEvents"]


def test_two_loops_trace_their_own_rows(toy):
    trace = Trace()
    with Runtime.open(toy, threads=2, slots=2, devices=("cpu", "cpu"), trace=trace) as runtime:
        runtime.generate([Request(i, steps=4) for i in range(8)])
    tracks = {span.track for span in trace.spans}
    assert tracks >= {"loop 0", "loop 1", "engine 0", "engine 1", "slot 0 0", "slot 1 1"}


def test_traced_requests_may_end_between_ticks(toy):
    """Cancelled, expired, or taken out because another picture of theirs broke."""
    trace = Trace()
    with Runtime.open(toy, threads=1, slots=3, trace=trace) as runtime:
        tickets = [runtime.submit(LONG) for _ in range(2)]
        tickets.append(runtime.submit(Request(1, steps=1000, limits=soon(0.02))))
        tickets.append(runtime.submit(Request(7, images=3)))
        for ticket in tickets[:2]:
            next(ticket.events())
            ticket.cancel()
        for ticket in tickets:
            with pytest.raises((Cancelled, DeadlineExceeded, NonFinite)):
                ticket.result(60)
        assert len(runtime.generate(Request(1)).flat) == 1
    assert {span.name for span in trace.spans} >= {"tick", "step", "ticks"}


def test_untraced_requests_leave_no_spans(toy):
    trace = Trace()
    with Runtime.open(toy, threads=1) as runtime:
        runtime.generate(Request(1), trace=trace)
        count = len(trace.spans)
        runtime.generate(Request(1))
    assert len(trace.spans) == count
