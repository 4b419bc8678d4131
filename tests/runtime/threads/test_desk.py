"""The bounded queue, cancellation while waiting, counts, logs."""

import logging
import threading
import time

import pytest

from denoisert.runtime import Request, Runtime
from denoisert.runtime.errors import (
    Cancelled,
    EngineError,
    InvalidInput,
    NonFinite,
    OutOfMemory,
    Overloaded,
)
from tests.runtime.threads.gates import gated

LONG = Request(1, steps=30)


def test_a_full_queue_refuses_at_once_and_says_what_to_do(toy):
    with gated(toy, slots=1, queue=2) as (runtime, gate, _):
        running = runtime.submit(LONG)
        gate.reached(1)
        waiting = [runtime.submit(LONG) for _ in range(2)]
        with pytest.raises(Overloaded, match=r"2 requests wait.*Try again\.") as caught:
            runtime.submit(LONG)
        assert caught.value.retry_s is None  # nothing has ended yet
        stats = runtime.stats()
        assert (stats["requests_running"], stats["requests_waiting"]) == (1, 2)
        assert stats["requests_refused"] == 1
        waiting[0].cancel()
        late = runtime.submit(LONG)  # a place is free at once, without a tick
        assert gate.entered == 1
        waiting[1].cancel()
        late.cancel()
        again = [runtime.submit(LONG) for _ in range(2)]
        with pytest.raises(Overloaded, match=r"in about \S+ s") as caught:
            runtime.submit(LONG)
        assert caught.value.retry_s >= 0.0
        gate.free()
        assert all(ticket.result(60) for ticket in (running, *again))


def test_refusing_costs_no_plan(toy):
    with gated(toy, slots=1, queue=1) as (runtime, gate, _):
        runtime.submit(LONG)
        gate.reached(1)
        runtime.submit(LONG)
        impossible = Request(99)
        with pytest.raises(Overloaded):  # planning would have found that there is no such class
            runtime.submit(impossible)
        gate.free()
        with pytest.raises(InvalidInput):
            runtime.plan(impossible)


def test_a_waiting_request_is_cancelled_at_once(toy):
    with gated(toy, slots=1) as (runtime, gate, spy):
        running = runtime.submit(LONG)
        gate.reached(1)
        waiting = runtime.submit(LONG)
        waiting.cancel()
        assert waiting.is_done  # while the engine stands still
        with pytest.raises(Cancelled, match=f"request {waiting.id}"):
            waiting.result()
        assert not running.is_done
        gate.free()
        assert running.result(60).flat.shape == (1, 60)
        assert len(spy.runs) == 30


def test_a_running_request_is_cancelled_at_the_next_tick(toy):
    with gated(toy) as (runtime, gate, spy):
        ticket = runtime.submit(LONG)
        gate.let(2)
        gate.reached(3)
        ticket.cancel()
        assert not ticket.is_done
        gate.let()
        with pytest.raises(Cancelled):
            ticket.result(60)
        assert len(spy.runs) == 3
        assert runtime.stats()["requests_cancelled"] == 1


def test_cancelling_twice_or_after_the_end_changes_nothing(toy):
    with Runtime.open(toy, threads=1) as runtime:
        ticket = runtime.submit(Request(1))
        result = ticket.result(60)
        ticket.cancel()
        assert ticket.result() is result
        assert runtime.stats()["requests_cancelled"] == 0


def test_counts_add_up(toy):
    with Runtime.open(toy, threads=1) as runtime:
        runtime.generate([Request(1), Request(7), Request(2, images=3)])
        with pytest.raises(NonFinite):
            runtime.submit(Request(7)).result(60)
        stats = runtime.stats()
        assert all(isinstance(number, (int, float)) for number in stats.values())
        assert stats["requests_submitted"] == 4
        assert (stats["requests_done"], stats["requests_failed"]) == (2, 2)
        assert stats["ticks"] == 5 + 3
        assert stats["lanes"] == (1 + 3) * 5 + 2 * 3
        assert 0 < stats["engine_ms"] <= stats["tick_ms"]


def test_numbers_are_never_used_twice(toy):
    with Runtime.open(toy, threads=1, queue=1) as runtime:
        numbers = []
        for _ in range(20):
            try:
                numbers.append(runtime.submit(Request(1)).id)
            except Overloaded:
                time.sleep(0.001)
        assert len(set(numbers)) == len(numbers)


def test_memory_is_a_reason_to_refuse(toy):
    small, large = Request(1), Request(1, images=1000)
    with Runtime.open(toy, threads=1, memory_bytes=400_000) as runtime:
        with pytest.raises(OutOfMemory, match="the runtime may use 400000"):
            runtime.submit(large)
        with pytest.raises(OutOfMemory):
            runtime.generate([small, large])
        assert runtime.stats()["requests_submitted"] == 0
        many = runtime.generate([Request(1, images=30, seed=seed) for seed in range(20)])
        assert all(len(result.flat) == 30 for result in many)
    with gated(toy, slots=1, memory_bytes=400_000) as (runtime, gate, _):
        first = runtime.submit(Request(1, images=100))
        with pytest.raises(Overloaded, match="all the memory"):
            _ = [runtime.submit(Request(1, images=100)) for _ in range(10)]
        gate.free()
        assert len(first.result(60).flat) == 100
        runtime.submit(Request(1, images=100)).result(60)


def test_logs_tell_numbers_and_outcomes_and_no_words(text_bundle, caplog):
    secret = "a heron in a hurry"
    with caplog.at_level(logging.DEBUG, "denoisert"), Runtime.open(text_bundle) as runtime:
        runtime.generate(Request(secret, steps=2))
        ticket = runtime.submit(Request(secret, steps=200))
        ticket.cancel()
        with pytest.raises(Cancelled) as caught:
            ticket.result(60)
        runtime.close()
        with pytest.raises(EngineError) as closed:
            runtime.submit(Request(secret))
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in lines] == ["request 1 done", "request 2 Cancelled"]
    said = " ".join([*lines, str(caught.value), str(closed.value), repr(ticket), repr(runtime)])
    assert not any(word in said for word in ("heron", "hurry"))


def test_two_ends_at_the_same_moment_are_one(toy, monkeypatch):
    """Both have seen the request open and have made their result: the lock decides."""
    with gated(toy) as (runtime, gate, _):
        ticket = runtime.submit(LONG)
        gate.reached(1)
        desk = runtime._desk
        job = desk._open[ticket.id]
        meet, result = threading.Barrier(2), job.result

        def slow(_, error):
            meet.wait(60)
            return result(error)

        monkeypatch.setattr(type(job), "result", slow)
        won = []
        enders = [
            threading.Thread(target=lambda e=error: won.append(desk.end(job, e)))
            for error in (Cancelled("first"), NonFinite("second"))
        ]
        for ender in enders:
            ender.start()
        for ender in enders:
            ender.join(60)
        monkeypatch.undo()
        assert sorted(won) == [False, True]
        stats = runtime.stats()
        assert stats["requests_cancelled"] + stats["requests_failed"] == 1
        assert stats["requests_waiting"] == stats["requests_running"] == 0
        assert runtime._crew.loops[0].load == 0
