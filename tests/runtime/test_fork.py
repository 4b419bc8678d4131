"""A forked child is refused at once; the parent never notices."""

import os
import signal
import threading
from contextlib import contextmanager

import numpy as np
import pytest

from denoisert.runtime import CFG, Request, Runtime
from denoisert.runtime.errors import EngineError
from tests.runtime.bundles import compiled
from tests.runtime.networks import perceptron

REQUEST = Request(3, seed=7, images=3, guidance=CFG(3.0))


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    with Runtime.open(compiled(perceptron(), tmp_path_factory.mktemp("toy"))) as opened:
        yield opened


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_refused_and_the_parent_goes_on(runtime):
    wanted = runtime.generate(REQUEST).flat
    with held_by_another_thread(runtime._desk._changed):
        child = os.fork()
        if child == 0:
            exit_with(runtime)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
    assert np.array_equal(runtime.generate(REQUEST).flat, wanted)


@contextmanager
def held_by_another_thread(lock):
    """As when a process forks in the middle of a request: the child must not wait for it."""
    is_held, is_over = threading.Event(), threading.Event()

    def hold():
        with lock:
            is_held.set()
            is_over.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait(60)
    try:
        yield
    finally:
        is_over.set()
        thread.join(60)


def exit_with(runtime):
    """End this child with the number of refusals as its status; by a signal where it hangs."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(20)
    status = 99
    try:
        status = refusals(runtime)
    finally:
        os._exit(status)


def refusals(runtime):
    """How many of five calls a forked child is refused; closing there is harmless."""
    refused = 0
    for ask in (
        lambda: runtime.generate(REQUEST),
        lambda: runtime.generate([]),
        lambda: runtime.plan(REQUEST),
        lambda: runtime.submit(REQUEST),
        runtime.stats,
    ):
        try:
            ask()
        except EngineError as error:
            refused += "fork" in str(error)
    runtime.close()
    return refused
