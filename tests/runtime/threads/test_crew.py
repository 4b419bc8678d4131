"""How the threads of a runtime end: closed, dropped, at exit, or killed by a fault."""

import os
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from denoisert.runtime import Request, Runtime
from denoisert.runtime.errors import Cancelled, EngineError, InvalidInput
from tests.runtime.bundles import watched, watched_codec
from tests.runtime.threads.gates import gated
from tests.runtime.threads.storm import collected, our_threads

LONG = Request(1, seed=3, steps=1000)
KINDS = [SystemExit, KeyboardInterrupt, MemoryError, AttributeError]


def test_closing_drains_what_is_open(toy):
    with Runtime.open(toy, threads=1, slots=1) as runtime:
        tickets = [runtime.submit(Request(1, seed=i, steps=20)) for i in range(5)]
    assert all(len(ticket.result(0).flat) == 1 for ticket in tickets)
    assert our_threads() == []


def test_closing_now_cancels_what_is_open(toy):
    with gated(toy, slots=1) as (runtime, gate, spy):
        tickets = [runtime.submit(LONG) for _ in range(3)]
        gate.reached(1)
        closer = threading.Thread(target=runtime.close, kwargs={"drain_s": 0})
        closer.start()
        with pytest.raises(Cancelled, match="closes"):
            tickets[2].result(60)  # it waited: at once
        with pytest.raises(EngineError, match="closed"):
            runtime.submit(LONG)
        gate.let()
        closer.join(60)
        assert not closer.is_alive()
        for ticket in tickets:
            with pytest.raises(Cancelled):
                ticket.result(0)
        assert len(spy.runs) == 1
        assert spy.is_closed


def test_closing_waits_a_while_and_then_cancels(toy):
    with gated(toy) as (runtime, gate, _):
        short, long = runtime.submit(Request(1, steps=1)), runtime.submit(LONG)
        gate.reached(1)
        closer = threading.Thread(target=runtime.close, kwargs={"drain_s": 0.1})
        closer.start()
        gate.let(2)
        assert len(short.result(60).flat) == 1
        time.sleep(0.11)
        gate.let()
        closer.join(60)
        with pytest.raises(Cancelled):
            long.result(0)


def test_many_close_at_once_and_again(toy):
    runtime, spy = watched(toy, slots=2)
    tickets = [runtime.submit(LONG) for _ in range(6)]
    drains = [None, 0.05, None, 1.0, 0, None, 0.01, 0]
    closers = [threading.Thread(target=runtime.close, kwargs={"drain_s": d}) for d in drains]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join(60)
        assert not closer.is_alive()
    assert all(ticket.is_done for ticket in tickets)
    assert spy.is_closed
    runtime.close()
    assert our_threads() == []


def test_an_error_inside_the_with_block_does_not_wait_for_the_queue(toy):
    class Boom(Exception):
        pass

    def fail():
        with Runtime.open(toy, threads=1, slots=1) as runtime:
            tickets.extend(runtime.submit(LONG) for _ in range(60))
            raise Boom

    tickets = []
    with pytest.raises(Boom):
        fail()
    assert all(ticket.is_done for ticket in tickets)
    assert any(ticket._ending.result.error is not None for ticket in tickets)


def test_a_dropped_runtime_is_collected_and_ends_its_requests(toy):
    runtime = Runtime.open(toy, threads=1, slots=1)
    engine = weakref.ref(runtime._crew.loops[0]._pool.denoisers[0].engine)
    ticket, gone = runtime.submit(LONG), weakref.ref(runtime)
    del runtime
    assert collected(gone)
    with pytest.raises(Cancelled, match="closed"):
        ticket.result(60)
    assert collected(engine)  # although the ticket is kept
    assert our_threads() == []
    ticket.cancel()
    assert list(ticket.events())[-1].error is ticket._ending.result.error


def test_a_kept_failure_keeps_no_engine(toy):
    runtime, spy = watched(toy, failing={2})
    ticket = runtime.submit(LONG)
    with pytest.raises(EngineError, match="injected"):
        ticket.result(60)
    runtime.close()
    engine = weakref.ref(spy.engine)
    del runtime, spy
    assert collected(engine)
    assert "injected" in str(ticket._ending.result.error)


def test_an_idle_runtime_that_is_dropped_ends_its_threads(toy):
    gone = [weakref.ref(Runtime.open(toy, threads=1)) for _ in range(3)]
    assert all(collected(each) for each in gone)
    assert collected(lambda: our_threads() or None)


@pytest.mark.parametrize("open_requests", [0, 3])
def test_an_interpreter_ends_with_a_forgotten_runtime(toy, open_requests):
    """No hang, no crash, nothing on stderr."""
    code = f"""
import atexit, sys, threading
from denoisert.runtime import Request, Runtime
atexit.register(lambda: print([thread.name for thread in threading.enumerate()]))
runtime = Runtime.open(sys.argv[1], threads=1)
runtime.generate(Request(1))
tickets = [runtime.submit(Request(1, steps=1000)) for _ in range({open_requests})]
keep = [runtime, runtime.__class__.open(sys.argv[1], threads=1)]
print("over")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(toy)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n['MainThread']\n", "")


def test_a_forked_child_is_refused_drops_the_runtime_and_ends(toy):
    """It ends by `os._exit`, as those of `multiprocessing` do.

    Through exit() any process that forked after loading ONNX Runtime 1.32 hangs: its own exit
    handler waits for a thread that only the parent has.
    """
    code = """
import gc, os, sys
from denoisert.runtime import Request, Runtime
runtime = Runtime.open(sys.argv[1], threads=1)
ticket = runtime.submit(Request(1, steps=1000))
child = os.fork()
if child == 0:
    refused = 0
    for ask in (ticket.result, ticket.cancel, lambda: next(ticket.events()), runtime.warm):
        try:
            ask()
        except RuntimeError as error:
            refused += "fork" in str(error)
    assert not runtime.is_ready
    del runtime
    gc.collect()
    os._exit(40 + refused)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(ticket.result(60).nfe)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(toy)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("44\n1000\n", "")


@pytest.mark.parametrize("kind", KINDS)
def test_a_dead_loop_ends_everything_with_its_cause(toy, kind):
    fuse = []

    def explode(buffers):
        if fuse:
            raise kind("injected")

    runtime, spy = watched(toy, slots=1, before=explode)
    runtime.generate(Request(1))
    tickets = [runtime.submit(LONG) for _ in range(4)]
    fuse.append(1)
    for ticket in tickets:
        with pytest.raises(EngineError, match=f"died of {kind.__name__}") as caught:
            ticket.result(60)
        assert isinstance(caught.value.__cause__, kind)
    assert len({id(ticket._ending.result.error) for ticket in tickets}) == 4
    for ask in (runtime.submit, runtime.generate, runtime.plan):
        with pytest.raises(EngineError, match="died of") as caught:
            ask(LONG)
        assert isinstance(caught.value.__cause__, kind)
    with pytest.raises(EngineError, match="died of"):
        runtime.warm()
    assert not runtime.is_ready
    runtime.close()
    assert spy.is_closed
    assert runtime.stats()["requests_failed"] == 4
    assert our_threads() == []


def test_a_dead_codec_ends_everything_too(text_bundle):
    opened, spies = watched_codec(text_bundle)
    with opened as runtime:
        runtime.generate(Request("red", steps=2))
        spies["decoder"].before = lambda _: 1 / 0
        tickets = [runtime.submit(Request("red", steps=n)) for n in (900, 901, 2)]
        for ticket in tickets:
            with pytest.raises(EngineError, match="died of ZeroDivisionError"):
                ticket.result(60)
    assert our_threads() == []


def test_the_death_of_one_device_ends_the_others(toy):
    runtime = Runtime.open(toy, threads=2, devices=("cpu", "cpu"), slots=1)
    tickets = [runtime.submit(LONG) for _ in range(4)]

    def die():
        raise MemoryError("injected")

    runtime._crew.loops[1].post(die)
    for ticket in tickets:
        with pytest.raises(EngineError, match="MemoryError"):
            ticket.result(60)
    for loop in runtime._crew.loops:
        loop.join(10)
    assert our_threads() == []  # the other one went home by itself
    runtime.close()


def test_several_devices_share_the_work_and_change_no_bits(toy):
    asked = [Request(i % 7, seed=i, steps=10 + i, images=1 + i % 3) for i in range(12)]
    with Runtime.open(toy, threads=1, slots=2) as one:
        wanted = [result.flat for result in one.generate(asked)]
    with Runtime.open(toy, threads=2, slots=2, devices=("cpu", "cpu")) as two:
        found = two.generate(asked)
        ticks = [loop.counts.ticks for loop in two._crew.loops]
        assert [loop.load for loop in two._crew.loops] == [0, 0]
    for result, flat in zip(found, wanted, strict=True):
        assert np.array_equal(result.flat, flat)
    assert min(ticks) > 0.3 * max(ticks)
    with pytest.raises(InvalidInput, match="device"):
        Runtime.open(toy, devices=("gpu",))


def test_closing_in_a_thread_while_others_generate(toy):
    """Whoever is in the middle of `generate` gets results or clear errors, and never hangs."""
    runtime = Runtime.open(toy, threads=1, slots=2, queue=4)
    ends = []

    def call():
        try:
            ends.extend(type(r.error).__name__ for r in runtime.generate([LONG] * 6))
        except (EngineError, Cancelled) as error:
            ends.append(type(error).__name__)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    time.sleep(0.05)
    runtime.close(drain_s=0.05)
    for caller in callers:
        caller.join(60)
        assert not caller.is_alive()
    assert set(ends) <= {"EngineError", "Cancelled", "NoneType"}
    assert os.getpid() == runtime._process
