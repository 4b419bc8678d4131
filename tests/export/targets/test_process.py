"""The process of one engine: what it is told, what it tells, and every way in which it may end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from denoisert.export.targets import process as module
from denoisert.export.targets.child import peak_bytes, read_job
from denoisert.export.targets.process import Built, EngineProcess, plain_job
from denoisert.runtime.errors import (
    BuildError,
    BundleError,
    OutOfMemory,
    Overloaded,
    UnsupportedOperator,
)
from tests.export.targets.compiler import MODULE, WAIT_S
from tests.export.targets.conftest import ROOT, JobOf
from tests.export.targets.disks import largest_file
from tests.export.targets.lives import is_alive, wait_for, wait_until_dead

MIB = 2**20
PARENT = """
import sys
from denoisert.export.targets.child import read_job
from denoisert.export.targets.process import EngineProcess
import json
EngineProcess(read_job(json.loads(sys.argv[1])), "tests.export.targets.compiler").run(print)
"""


def build(job_of: JobOf, action: str, memory_bytes: int | None = None) -> Built:
    return EngineProcess(job_of(action), MODULE, memory_bytes).run(lambda *_: None)


def test_a_job_survives_json(job_of: JobOf) -> None:
    job = job_of("write")
    assert read_job(json.loads(json.dumps(plain_job(job)))) == job


def test_the_engine_lies_where_it_was_wanted_and_steps_arrive(job_of: JobOf) -> None:
    job, seen = job_of("write"), []
    start = time.perf_counter()
    built = EngineProcess(job, MODULE).run(lambda *step: seen.append(step))
    assert seen == [("fusing", 1, 3), ("fusing", 2, 3), ("fusing", 3, 3)]
    assert job.out.read_text(encoding="utf-8") == "engine"
    assert 0.0 < built.seconds < time.perf_counter() - start
    assert not built.is_kept


def test_the_peak_is_that_of_the_compiler_alone(job_of: JobOf) -> None:
    """What this process holds is not its."""
    ballast = bytearray(b"x") * (512 * MIB)
    assert len(ballast) < peak_bytes()
    small, large = build(job_of, "write"), build(job_of, "allocate 200")
    assert 2 * MIB < small.peak_bytes < 200 * MIB
    assert 200 * MIB < large.peak_bytes < 400 * MIB


def test_an_error_of_ours_arrives_as_it_was_raised(job_of: JobOf) -> None:
    with pytest.raises(UnsupportedOperator) as caught:
        build(job_of, "refuse")
    assert str(caught.value) == "denoiser has an Abacus. The library said: no."
    with pytest.raises(Overloaded, match="more than a message"):
        build(job_of, "overload")


@pytest.mark.parametrize(
    ("action", "how", "said"),
    [
        ("segfault", "signal 11, Segmentation fault", "a library's last words"),
        ("abort", "signal 6, Aborted", "nothing"),
        ("killed", "signal 9, Killed.*Memory may be short", "nothing"),
        ("fault", "status 1", "ZeroDivisionError: a fault of ours"),
        ("miss", "status 1", "No such file or directory: 'absent'"),
    ],
)
def test_a_crash_is_an_error_message(job_of: JobOf, action: str, how: str, said: str) -> None:
    words = f"compiler of denoiser for openvino .*{how}.* It said: .*{said}"
    with pytest.raises(BuildError, match=words):
        build(job_of, action)


def test_what_a_library_prints_is_no_news(job_of: JobOf) -> None:
    job = job_of("babble")
    built = EngineProcess(job, MODULE).run(lambda *_: None)
    assert built.seconds > 0.0
    assert job.out.read_text(encoding="utf-8") == "engine"


def test_what_python_prints_before_is_no_news(
    job_of: JobOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a line, a number and bytes that are no text, from something that starts with Python."""
    place = tmp_path / "site"
    place.mkdir()
    code = 'import os\nos.write(1, b\'{"step": ["a\\n5\\n\\xff\\n\')\n'
    (place / "sitecustomize.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{place}{os.pathsep}{ROOT}")
    assert build(job_of, "write").seconds > 0.0


def test_an_engine_counts_that_was_there_before_its_library_crashed(job_of: JobOf) -> None:
    start = time.monotonic()
    assert build(job_of, "crash_at_exit").seconds > 0.0
    assert time.monotonic() - start < WAIT_S, "a thread of the library kept it"


def test_success_without_an_engine_is_none(job_of: JobOf) -> None:
    with pytest.raises(BuildError, match=r"without an error and without denoiser\.xml"):
        build(job_of, "forget")


def test_a_full_disk_is_an_error_of_the_bundle(job_of: JobOf) -> None:
    words = r"cannot write 'denoiser\.xml' for openvino: No space left.* make room"
    with pytest.raises(BundleError, match=words):
        build(job_of, "fill_disk")


def test_a_library_that_does_not_say_why_is_asked_of_the_disk(job_of: JobOf) -> None:
    """Under a real limit of what may be written; without any its words stand alone."""
    job = job_of("obscure")
    with largest_file(4096), pytest.raises(BundleError, match=r"File too large.* ios: bad bit"):
        EngineProcess(job, MODULE).run(lambda *_: None)
    with pytest.raises(BuildError, match=r"^ios: bad bit$"):
        EngineProcess(job, MODULE).run(lambda *_: None)
    with pytest.raises(BuildError, match=r"^ios: bad bit It was given 0\.50 GiB of memory"):
        EngineProcess(job, MODULE, 512 * MIB).run(lambda *_: None)


def test_the_memory_of_a_compiler_is_bounded(job_of: JobOf, tmp_path: Path) -> None:
    build(job_of, "tell_limit", 512 * MIB)
    assert (tmp_path / "openvino-int8" / "denoiser.xml").read_text() == str(512 * MIB)
    words = r"denoiser for openvino wanted more memory than the 0\.50 GiB of it .*--memory"
    with pytest.raises(OutOfMemory, match=words):
        build(job_of, "allocate 2000", 512 * MIB)


@pytest.mark.parametrize(
    ("how", "words"), [("dies", "OpenBLAS error"), ("wraps", "std::bad_alloc")]
)
def test_memory_is_named_as_libraries_name_it(job_of: JobOf, how: str, words: str) -> None:
    """Only where it is bounded: else they may mean that of a device."""
    with pytest.raises(OutOfMemory, match=rf"[Mm]emory.*{words}"):
        build(job_of, f"starve {how}", 512 * MIB)
    with pytest.raises(BuildError, match=words):
        build(job_of, f"starve {how}")


def test_a_bound_is_never_above_that_of_the_system() -> None:
    code = (
        "import resource; from denoisert.export.targets.child import _limit; "
        "resource.setrlimit(resource.RLIMIT_DATA, (2**29, 2**29)); print(_limit(2**40))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(2**29)


def test_a_crash_under_a_bound_says_memory(job_of: JobOf) -> None:
    """A library that aborts where it gets none."""
    with pytest.raises((BuildError, OutOfMemory), match=r"[Mm]emory"):
        build(job_of, "abort", 512 * MIB)


def test_files_of_a_model_are_no_modules(job_of: JobOf, tmp_path: Path) -> None:
    job = job_of("tell_modules")
    for name in ("json", "denoisert", "numpy", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(7)", encoding="utf-8")
    EngineProcess(job, MODULE).run(lambda *_: None)
    module_file, folder, *places = json.loads(job.out.read_text(encoding="utf-8"))
    assert Path(folder) == tmp_path
    assert not module_file.startswith(str(tmp_path))
    assert not {"", str(tmp_path)} & set(places)


@pytest.mark.parametrize("how", ["gentle", "deaf"])
def test_a_compiler_is_stopped(
    job_of: JobOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.5 if how == "deaf" else WAIT_S)
    process = EngineProcess(job_of(f"hang {how}"), MODULE)
    errors: list[BuildError] = []

    def run() -> None:
        try:
            process.run(lambda *_: None)
        except BuildError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    number = wait_for(tmp_path / "denoiser.pid")
    process.stop()
    thread.join(WAIT_S)
    assert not is_alive(number)
    assert ("signal 9" if how == "deaf" else "status 130") in str(errors)


def test_one_that_was_stopped_before_it_began_does_not_begin(job_of: JobOf) -> None:
    job = job_of("write")
    process = EngineProcess(job, MODULE)
    process.stop()
    with pytest.raises(BuildError, match="was stopped"):
        process.run(lambda *_: None)
    assert not job.out.exists()


def test_a_reader_of_steps_that_fails_ends_the_compiler(job_of: JobOf) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the display is gone")

    with pytest.raises(RuntimeError, match="the display is gone"):
        EngineProcess(job_of("segfault"), MODULE).run(fail)


def test_no_compiler_outlives_its_parent(job_of: JobOf, tmp_path: Path) -> None:
    told = json.dumps(plain_job(job_of("hang deaf")))
    parent = subprocess.Popen([sys.executable, "-c", PARENT, told])
    number = wait_for(tmp_path / "denoiser.pid")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until_dead(number)
