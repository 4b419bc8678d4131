"""python -m denoisert.export.targets.child: build one engine, in a process that may crash.

The job comes as JSON on standard input; news go as JSON lines to standard output: steps, then
either what was built or the error of our tree that ended it. Whatever foreign libraries print goes
to standard error.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import IO, Final

from denoisert.export.targets.job import EngineJob, Report
from denoisert.runtime.bundle.typed import decode
from denoisert.runtime.engines.profile import Profile
from denoisert.runtime.errors import DenoiseRTError

COMPILERS: Final = {
    "openvino": "denoisert.export.targets.openvino",
    "tensorrt-rtx": "denoisert.export.targets.tensorrt",
    "tensorrt": "denoisert.export.targets.tensorrt",
}
"""Target -> the module whose `build` compiles for it."""

KIB: Final = 1024


def main() -> int:
    """Build what standard input asks for."""
    news = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # a library that prints must not garble the news
    asked = json.loads(sys.stdin.read())
    _limit(asked["memory_bytes"])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    job = read_job(asked["job"])
    start = perf_counter()
    try:
        build: Callable[[EngineJob, Report], None] = import_module(COMPILERS[job.target]).build
        build(job, lambda *step: _tell(news, step=step))
    except DenoiseRTError as error:
        _tell(news, error={"kind": type(error).__name__, "message": str(error)})
        return 1
    except MemoryError:
        _tell(news, error={"kind": "OutOfMemory", "message": "its memory is used up."})
        return 1
    except KeyboardInterrupt:
        return 130
    peak = KIB * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _tell(news, built={"seconds": perf_counter() - start, "peak_bytes": peak})
    return 0


def read_job(plain: dict[str, object]) -> EngineJob:
    """The job that was written by `plain_job`."""
    graph, root, out = (Path(str(plain[name])) for name in ("graph", "root", "out"))
    profiles = decode(tuple[Profile, ...], plain["profiles"], "profiles", {})
    capabilities = decode(tuple[str, ...], plain["capabilities"], "capabilities", {})
    component, target = str(plain["component"]), str(plain["target"])
    return EngineJob(component, target, graph, root, out, profiles, capabilities)


def _limit(memory_bytes: int | None) -> None:
    """Bound what this process may allocate, so that it fails instead of the machine."""
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


def _tell(news: IO[str], **what: object) -> None:
    news.write(f"{json.dumps(what)}\n")


if __name__ == "__main__":
    raise SystemExit(main())
