"""Several compilers: together as far as memory goes, stopped together, and none when it is kept."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from pathlib import Path

import pytest

from denoisert.export.targets.crew import COMPILERS, CompilerCrew
from denoisert.export.targets.store import EngineStore
from denoisert.runtime.engines.target import COMPILED, OnnxRuntime
from denoisert.runtime.errors import BuildError, UnsupportedOperator
from tests.export.targets.compiler import MODULE, WAIT_S
from tests.export.targets.conftest import JobOf
from tests.export.targets.lives import is_alive, wait_for

CORES = len(os.sched_getaffinity(0))
FOR_TESTS = dict.fromkeys(COMPILERS, MODULE)
KEYS = ("a" * 64, "b" * 64, "c" * 64)


def crew_of(
    memory_bytes: int, store: EngineStore | None = None, seen: list[str] | None = None
) -> CompilerCrew:
    def note(step: str, *_: int) -> None:
        if seen is not None:
            seen.append(step)

    return CompilerCrew(memory_bytes, store, note, compilers=FOR_TESTS)


def test_every_target_that_compiles_has_a_compiler() -> None:
    assert set(COMPILERS) == set(COMPILED) - {OnnxRuntime.name}


@pytest.mark.skipif(CORES < 2, reason="wants two cores")
def test_two_run_together_where_memory_allows(job_of: JobOf) -> None:
    seen: list[str] = []
    crew = crew_of(10, seen=seen)
    jobs = [crew.submit(job_of("together 2", name), "", 5) for name in ("decoder", "denoiser")]
    crew.finish()
    assert all(job.result().seconds > 0.0 for job in jobs)
    assert set(seen) == {"decoder for openvino-int8: fusing", "denoiser for openvino-int8: fusing"}


@pytest.mark.parametrize("needs", [(6, 5, 6), (100, 1, 100)], ids=["sum", "larger-than-all"])
def test_one_waits_where_memory_does_not(job_of: JobOf, needs: tuple[int, ...]) -> None:
    crew = crew_of(10)
    names = ("decoder", "denoiser", "encoder")
    for name, need in zip(names, needs, strict=True):
        crew.submit(job_of("alone", name), "", need)
    crew.finish()


@pytest.mark.skipif(CORES < 2, reason="wants two cores")
def test_the_first_failure_stops_the_others(job_of: JobOf, tmp_path: Path) -> None:
    """One runs, one fails, one has not begun."""
    crew = crew_of(10)
    running = crew.submit(job_of("hang", "decoder"), "", 5)
    number = wait_for(tmp_path / "decoder.pid")
    failing = crew.submit(job_of("refuse"), "", 5)
    waiting = job_of("write", "encoder")
    while not failing.done():
        time.sleep(0.01)
    with pytest.raises(UnsupportedOperator, match="denoiser has an Abacus"):
        crew.submit(waiting, "", 5)
    with pytest.raises(UnsupportedOperator, match="denoiser has an Abacus"):
        crew.finish()
    assert not is_alive(number)
    assert isinstance(running.exception(), BuildError)
    assert not waiting.out.exists()


def test_one_that_waits_for_memory_is_stopped_too(job_of: JobOf, tmp_path: Path) -> None:
    crew = crew_of(10)
    crew.submit(job_of("hang", "decoder"), "", 10)
    number = wait_for(tmp_path / "decoder.pid")
    waiting = job_of("write", "encoder")
    crew.submit(waiting, "", 10)
    crew.stop()
    crew.stop()
    assert not is_alive(number)
    assert not waiting.out.exists()


def test_an_interrupt_stops_all(
    job_of: JobOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ctrl-C does, which only the main thread hears."""
    crew = crew_of(10)
    crew.submit(job_of("hang"), "", 5)
    number = wait_for(tmp_path / "denoiser.pid")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("denoisert.export.targets.crew.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        crew.finish()
    assert not is_alive(number)


@pytest.mark.skipif(CORES < 2, reason="wants two cores")
def test_news_of_several_compilers_come_one_at_a_time(job_of: JobOf) -> None:
    inside = threading.Lock()
    count = 0

    def step(*_: object) -> None:
        nonlocal count
        assert inside.acquire(blocking=False), "two at once"
        time.sleep(0.03)
        count += 1
        inside.release()

    crew = CompilerCrew(10, None, step, compilers=FOR_TESTS)
    for name in ("decoder", "denoiser"):
        crew.submit(job_of("together 2", name), "", 5)
    crew.finish()
    assert count == 6


def test_the_bound_reaches_every_process(job_of: JobOf, tmp_path: Path) -> None:
    crew = CompilerCrew(10, None, lambda *_: None, 2**29, compilers=FOR_TESTS)
    crew.submit(job_of("tell_limit"), "", 5)
    crew.finish()
    assert (tmp_path / "openvino-int8" / "denoiser.xml").read_text(encoding="utf-8") == str(2**29)


def test_what_is_kept_is_not_built_again(job_of: JobOf, tmp_path: Path) -> None:
    """Also where another engine fails: the next run resumes with what is done."""
    store = EngineStore(tmp_path / "cache")
    crew = crew_of(10, store)
    first = crew.submit(job_of("write engine-1", "decoder"), KEYS[0], 5)
    assert not first.result(WAIT_S).is_kept
    crew.submit(job_of("refuse"), KEYS[1], 5)
    with pytest.raises(UnsupportedOperator):
        crew.finish()
    seen: list[str] = []
    crew = crew_of(10, store, seen)
    elsewhere = tmp_path / "elsewhere" / "decoder.xml"
    elsewhere.parent.mkdir()
    job = dataclasses.replace(job_of("segfault", "decoder"), out=elsewhere)
    again = crew.submit(job, KEYS[0], 5)
    crew.finish()
    assert dataclasses.replace(again.result(), is_kept=False) == first.result()
    assert again.result().is_kept
    assert (elsewhere.read_text(), seen) == ("engine-1", [])
    assert elsewhere.with_suffix(".bin").read_bytes() == b"engine-1" * 1000
