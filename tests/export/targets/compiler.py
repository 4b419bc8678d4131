"""A compiler for tests, in the real child process: it does what the graph file of its job says."""

import atexit
import ctypes
import errno
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from denoisert.export.targets.job import EngineJob, Report
from denoisert.runtime.errors import BuildError, Overloaded, UnsupportedOperator

MODULE = "tests.export.targets.compiler"
WAIT_S = 20.0


def build(job: EngineJob, report: Report) -> None:
    word, *rest = job.graph.read_text(encoding="utf-8").split()
    ACTIONS[word](job, report, *rest)


def write(job: EngineJob, report: Report, content: str = "engine") -> None:
    for done in range(3):
        report("fusing", done + 1, 3)
    job.out.write_text(content, encoding="utf-8")
    job.out.with_suffix(".bin").write_bytes(content.encode() * 1000)


def refuse(job: EngineJob, report: Report) -> None:
    raise UnsupportedOperator(f"{job.component} has an Abacus. The library said: no.")


def overload(job: EngineJob, report: Report) -> None:
    raise Overloaded("an error with more than a message", 3.0)


def fault(job: EngineJob, report: Report) -> None:
    raise ZeroDivisionError("a fault of ours")


def segfault(job: EngineJob, report: Report) -> None:
    report("crashing", 1, 2)
    os.write(2, b"a library's last words\n")
    ctypes.string_at(0)


def abort(job: EngineJob, report: Report) -> None:
    os.abort()


def killed(job: EngineJob, report: Report) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def babble(job: EngineJob, report: Report) -> None:
    os.write(1, b'{"error": {"kind": "BuildError", "message": "not ours"}}\n')
    print('{"built": 5}', flush=True)
    write(job, report)


def crash_at_exit(job: EngineJob, report: Report) -> None:
    atexit.register(os.abort)
    threading.Thread(target=time.sleep, args=(WAIT_S,)).start()
    write(job, report)


def allocate(job: EngineJob, report: Report, mib: str) -> None:
    ballast = bytearray(int(mib) << 20)
    write(job, report, str(len(ballast)))


def tell_limit(job: EngineJob, report: Report) -> None:
    job.out.write_text(str(resource.getrlimit(resource.RLIMIT_DATA)[0]), encoding="utf-8")


def tell_modules(job: EngineJob, report: Report) -> None:
    places = [json.__file__, os.getcwd(), *sys.path]
    job.out.write_text(json.dumps(places), encoding="utf-8")


def forget(job: EngineJob, report: Report) -> None:
    """It ends as if all were well."""


def fill_disk(job: EngineJob, report: Report) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def starve(job: EngineJob, report: Report, how: str) -> None:
    """As libraries do that are given no memory: one dies, one wraps what it caught."""
    if how == "dies":
        os.write(2, b"OpenBLAS error: Memory allocation still failed after 10 retries\n")
        os._exit(1)
    raise BuildError("Exception from core.cpp:1: std::bad_alloc")


def obscure(job: EngineJob, report: Report) -> None:
    raise BuildError("ios: bad bit")


def miss(job: EngineJob, report: Report) -> None:
    Path("absent").read_bytes()


def hang(job: EngineJob, report: Report, how: str = "gentle") -> None:
    """Until it is stopped, which it is deaf to where a library blocks signals."""
    if how == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    marker = job.graph.with_suffix(".pid")
    marker.with_suffix(".new").write_text(str(os.getpid()), encoding="utf-8")
    marker.with_suffix(".new").rename(marker)
    while True:
        time.sleep(0.05)


def together(job: EngineJob, report: Report, count: str) -> None:
    """End when as many run at the same time."""
    place = job.graph.parent
    (place / f"{job.component}.here").touch()
    end = time.monotonic() + WAIT_S
    while len(list(place.glob("*.here"))) < int(count):
        if time.monotonic() > end:
            raise BuildError(f"{job.component} was alone.")
        time.sleep(0.01)
    write(job, report)


def alone(job: EngineJob, report: Report) -> None:
    """Refuse company."""
    mark = job.graph.parent / "running"
    try:
        mark.mkdir()
    except FileExistsError:
        raise BuildError(f"{job.component} was not alone.") from None
    time.sleep(0.2)
    mark.rmdir()
    write(job, report)


ACTIONS: dict[str, Callable[..., None]] = {
    action.__name__: action
    for action in (
        *(write, refuse, overload, fault, segfault, abort, killed, babble, crash_at_exit),
        *(allocate, starve, tell_limit, tell_modules, forget, fill_disk, obscure, miss),
        *(hang, together, alone),
    )
}
