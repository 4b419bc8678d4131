"""How a build tells its progress, and how it ends early: stopped, out of memory, out of disk."""

import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from onnx import numpy_helper

from denoisert.export.targets.tensorrt.compiler import RESERVE_BYTES, build
from denoisert.export.targets.tensorrt.progress import PROFILES, Progress
from denoisert.runtime.engines.profile import Profile
from denoisert.runtime.errors import BuildError, BundleError, OutOfMemory
from tests.export.targets.tensorrt.graphs import (
    DYNAMIC,
    IMAGE,
    NODE,
    STATIC,
    attention,
    job,
    relu,
    saved,
    silent,
)


def test_progress_counts_profiles(tmp_path):
    said = []
    build(job(relu(tmp_path), (DYNAMIC, STATIC)), lambda *line: said.append(line))
    counts = [done for _, done, _ in said]
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2}
    assert {whole for *_, whole in said} == {2}
    assert said[0][0] == "Reading the graph"
    assert len(said) < 40


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BrokenPipeError("gone")])
def test_what_a_report_raises_ends_the_build(error, tmp_path, capfd):
    def stop(step, done, whole):
        if step == "Building engine":
            raise error

    wanted = job(relu(tmp_path))
    with pytest.raises(type(error)) as caught:
        build(wanted, stop)
    assert caught.value is error
    assert not wanted.out.exists()
    assert "Exception caught" not in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_build_after_a_profile(number, tmp_path):
    """The library swallows what is raised in its callbacks, and its log is one of them."""
    profiles = tuple(Profile({"lanes": (1, 2, most)}) for most in range(3, 15))
    wanted = job(attention(tmp_path), profiles)
    told = []

    def interrupt(step, done, whole):
        told.append(done)
        if done == 1:
            signal.raise_signal(number)

    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            build(wanted, interrupt)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert not wanted.out.exists()
    assert max(told) == 1


def test_a_thread_of_its_own_builds_without_signals(tmp_path):
    wanted = job(relu(tmp_path))
    thread = threading.Thread(target=build, args=(wanted, silent))
    thread.start()
    thread.join()
    assert wanted.out.exists()


def test_phases_may_end_early_or_be_unknown():
    told = []
    progress = Progress(lambda *line: told.append(line), 2)
    progress.start("Building engine", None, 6)
    progress.start(PROFILES, "Building engine", 10)
    assert progress.step(PROFILES, 4)
    progress.start("deeper", PROFILES, 1)
    progress.start("deepest", "deeper", 1)
    progress.start("too deep", "deepest", 1)
    progress.finish(PROFILES)
    assert progress.phases == ["Building engine"]
    progress.finish("never begun")
    assert progress.step("never begun", 3)
    assert [done for _, done, _ in told] == [0, 0, 1, 1, 1]
    progress.end(KeyboardInterrupt())
    assert not progress.step("Building engine", 1)


LIMITED = """
import resource, sys
from pathlib import Path
from denoisert.export.targets.job import EngineJob
from denoisert.export.targets.tensorrt.compiler import RESERVE_BYTES, build
from denoisert.runtime.engines.profile import Profile
from denoisert.runtime.engines.tensorrt.binding import RTX

kind, limit, graph, out, *capabilities = sys.argv[1:]
RTX.load()
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
held = 1024 * int(status["VmData"].split()[0]) if kind == "RLIMIT_DATA" else 0
resource.setrlimit(getattr(resource, kind), (held + int(limit),) * 2)
path = Path(graph)
profiles = (Profile({"lanes": (1, 2, 4)}),)
try:
    files = path, path.parent, Path(out)
    build(EngineJob("denoiser", "tensorrt-rtx", *files, profiles, tuple(capabilities)), print)
except Exception as error:
    print(type(error).__name__, error)
"""


def limited(kind, limit, wanted):
    """What a build says in a process of its own that may not have all it wants.

    Memory is counted from what the process holds once the library is loaded.
    """
    files = str(wanted.graph), str(wanted.out)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, kind, str(limit), *files, *wanted.capabilities],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_too_little_memory_is_said_so(tmp_path):
    """With a little more the library waits for its own thread, see test_stillness.py."""
    said = limited("RLIMIT_DATA", RESERVE_BYTES + 14 * 2**20, job(attention(tmp_path, "float16")))
    assert said.startswith(f"{OutOfMemory.__name__} denoiser cannot be compiled for tensorrt-rtx")
    assert re.search(r"Give it more.*says: .*(bad_alloc|temporarily unavailable)", said)


def test_too_little_memory_for_python_is_said_so(tmp_path):
    said = limited("RLIMIT_DATA", 2**20, job(relu(tmp_path)))
    assert said.startswith(f"{OutOfMemory.__name__} denoiser cannot be compiled for tensorrt-rtx")


def test_a_disk_that_takes_no_more_leaves_no_engine(tmp_path):
    wanted = job(relu(tmp_path))
    said = limited("RLIMIT_FSIZE", 4096, wanted)
    assert said.startswith(f"{BundleError.__name__} the engine of denoiser, ")
    assert "cannot be written to graph.engine" in said
    assert not wanted.out.exists()


def test_what_a_gpu_cannot_compute_is_named_with_its_layer(tmp_path):
    """In a process of its own: the library's next build after such a failure may differ."""
    weight = numpy_helper.from_array(np.ones((8, 8), np.float32), "w")
    node = NODE("MatMul", ["x", "w"], ["y"], name="wide_product")
    graph = saved(tmp_path, [node], {"x": IMAGE}, {"y": IMAGE}, [weight])
    said = limited("RLIMIT_CORE", 0, job(graph, capabilities=("7.5",)))
    assert said.startswith(f"{BuildError.__name__} denoiser cannot be compiled")
    assert re.search(r"at the layer wide_product\. Leave out the older .*FP32 GEMM", said)
