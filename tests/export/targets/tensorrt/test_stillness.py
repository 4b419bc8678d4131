"""A compiler that stands still is ended; one that works, or is done, is not."""

import subprocess
import sys
import threading
import time

import pytest

from denoisert.export.targets.tensorrt import stillness
from denoisert.export.targets.tensorrt.stillness import STATUS, watched

PROGRAM = """
import sys, threading, time
from denoisert.export.targets.tensorrt.stillness import watched

with watched("Compiling", still_s=2):
    if sys.argv[1] == "still":
        threading.Event().wait(60.0)
    end = time.monotonic() + 4.0
    while time.monotonic() < end:
        sum(range(10_000))
print("done")
"""


def ended(kind):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, kind],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.slow
def test_a_compiler_that_waits_for_itself_is_ended_with_a_line():
    done = ended("still")
    assert done.returncode == STATUS
    assert done.stderr.startswith("Compiling has stood still for 2 s.")
    assert "more memory" not in done.stdout


@pytest.mark.slow
def test_a_compiler_that_works_is_left_alone():
    done = ended("busy")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_what_is_done_is_watched_no_more():
    before = threading.active_count()
    with watched("Compiling"):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_what_fails_is_watched_no_more():
    before = threading.active_count()
    with pytest.raises(KeyError), watched("Compiling"):
        raise KeyError
    assert threading.active_count() == before


def test_seconds_are_counted_from_the_last_work(monkeypatch):
    """Processor times: work, none, none, work, none, none, none: the third in a row ends it."""
    times = iter((0.0, 1.0, 1.0, 1.001, 2.0, 2.0, 2.0, 2.0))
    monkeypatch.setattr(time, "process_time", lambda: next(times))
    ends = []

    def end(status):
        ends.append(status)
        raise SystemExit

    class Never:
        def wait(self, seconds):
            assert seconds == 1.0
            return False

    monkeypatch.setattr(stillness.os, "_exit", end)
    monkeypatch.setattr(stillness.os, "write", lambda number, line: ends.append(line))
    with pytest.raises(SystemExit):
        stillness._watch("Compiling", 3, Never())
    assert ends[1] == STATUS
    assert next(times, None) is None


def test_a_machine_without_memory_for_a_thread_is_out_of_memory(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(MemoryError, match="new thread"), watched("Compiling"):
        raise AssertionError
