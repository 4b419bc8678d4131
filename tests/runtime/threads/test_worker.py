"""A thread with an inbox: order, errands, and its end however it comes."""

import threading

import pytest

from denoisert.runtime.errors import EngineError
from denoisert.runtime.threads.worker import Worker


class Owner(Worker):
    """Remembers what happened to it."""

    def __init__(self):
        super().__init__("worker under test", self.note)
        self.causes, self.released = [], []

    def note(self, cause):
        self.causes.append(cause)

    def release(self):
        self.released.append(threading.current_thread().name)


@pytest.fixture
def worker():
    owner = Owner()
    owner.start()
    yield owner
    owner.stop()
    owner.join(10)


def test_calls_run_in_order_in_its_own_thread(worker):
    seen = []
    for number in range(100):
        worker.post(seen.append, number)
    worker.post(lambda: seen.append(threading.current_thread().name))
    worker.stop()
    worker.post(seen.append, "too late")
    worker.join(10)
    assert seen == [*range(100), "worker under test"]
    assert worker.causes == [None]
    assert worker.released == ["worker under test"]


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt, MemoryError])
def test_whatever_kills_it_is_reported_and_releases_what_it_owns(worker, kind):
    def die():
        raise kind("injected")

    worker.post(die)
    worker.join(10)
    (cause,) = worker.causes
    assert isinstance(cause, kind)
    assert worker.released == ["worker under test"]


def test_an_errand_waits_for_its_call_and_hears_its_error(worker):
    seen = []
    assert worker.send(lambda: seen.append(1)).wait()
    assert seen == [1]

    def fail():
        raise EngineError("injected")

    with pytest.raises(EngineError, match="injected"):
        worker.send(fail).wait()
    assert worker.send(lambda: None).wait()  # an error of ours does not end the thread


def test_an_errand_on_a_dead_thread_does_not_wait_for_ever(worker):
    release = threading.Event()
    worker.post(release.wait, 60)
    worker.stop()
    behind = worker.send(lambda: None)
    release.set()
    assert not behind.wait()
    assert not worker.send(lambda: None).wait()


def test_threads_are_daemons(worker):
    assert worker._thread.daemon
