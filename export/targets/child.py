"""python -m denoisert.export.targets.child: build one engine, in a process that may crash.

The job comes as JSON on standard input; news go as JSON lines to standard output: steps, then
either what was built or the error of our tree that ended it. Whatever foreign libraries print goes
to standard error.
"""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from time import process_time
from typing import IO, Final

from denoisert.export.targets.addresses import fix_addresses
from denoisert.export.targets.job import EngineJob, Report
from denoisert.export.targets.parent import follow
from denoisert.runtime.bundle.typed import decode
from denoisert.runtime.engines.profile import Profile
from denoisert.runtime.errors import BuildError, BundleError, DenoiseRTError, OutOfMemory

KIB: Final = 1024
STATUS: Final = Path("/proc/self/status")

DISK: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS))
"""Errors of a disk that is full or refuses."""

SHORT: Final = re.compile("bad_alloc|out of memory|allocat", re.IGNORECASE)
"""What libraries say where they get no memory."""

PROBE_BYTES: Final = 2**20
"""What a disk that is not full takes."""


def main() -> int:
    """Build what standard input asks for."""
    news = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # a library that prints must not garble the news
    asked = json.loads(sys.stdin.read())
    follow(asked["parent"])
    limit = _limit(asked["memory_bytes"])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    job = read_job(asked["job"])
    try:
        _build(job, asked["compiler"], lambda *step: _tell(news, step=step))
    except DenoiseRTError as error:
        return _fail(news, _cause(job, error, limit))
    except MemoryError:
        return _fail(news, _exhausted(job, limit))
    except OSError as error:
        if error.errno not in DISK:
            raise
        return _fail(news, _unwritten(job, error))
    except KeyboardInterrupt:
        return 130
    _tell(news, built={"seconds": process_time(), "peak_bytes": peak_bytes()})
    return 0


def read_job(plain: dict[str, object]) -> EngineJob:
    """The job that was written by `plain_job`."""
    graph, root, out = (Path(str(plain[name])) for name in ("graph", "root", "out"))
    profiles = decode(tuple[Profile, ...], plain["profiles"], "profiles", {})
    capabilities = decode(tuple[str, ...], plain["capabilities"], "capabilities", {})
    component, target = str(plain["component"]), str(plain["target"])
    return EngineJob(component, target, graph, root, out, profiles, capabilities)


def peak_bytes() -> int:
    """The most memory that this process has held.

    `getrusage` would count what the process that started it held at that moment, too.
    """
    lines = STATUS.read_text(encoding="utf-8").splitlines()
    return next(KIB * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _build(job: EngineJob, compiler: str, report: Report) -> None:
    build: Callable[[EngineJob, Report], None] = import_module(compiler).build
    build(job, report)
    if not job.out.is_file():
        raise BuildError(
            f"the compiler of {job.component} for {job.target} has ended without an error and "
            f"without {job.out.name}. This is a fault of DenoiseRT: report it."
        )


def _limit(memory_bytes: int | None) -> int | None:
    """Bound what this process may allocate, so that it fails instead of the machine."""
    if memory_bytes is None:
        return None
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = memory_bytes if most == resource.RLIM_INFINITY else min(memory_bytes, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return limit


def _exhausted(job: EngineJob, limit: int | None, said: str = "") -> OutOfMemory:
    bound = "the memory that there is" if limit is None else f"the {_gib(limit)} of it"
    return OutOfMemory(
        f"the compiler of {job.component} for {job.target} wanted more memory than {bound} that it "
        f"may take. Give it more with --memory, or compile a smaller --batch or --size.{said}"
    )


def _cause(job: EngineJob, error: DenoiseRTError, limit: int | None) -> DenoiseRTError:
    """What a compiler raised, with what may have caused it: libraries do not always say."""
    if not isinstance(error, BuildError):
        return error
    try:
        with TemporaryFile(dir=job.out.parent) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
    except OSError as refused:
        if refused.errno in DISK:
            return _unwritten(job, refused, f" {error}")
    if limit is None:
        return error
    if SHORT.search(str(error)):
        return _exhausted(job, limit, f" {error}")
    return BuildError(f"{error} It was given {_gib(limit)} of memory; give it more with --memory.")


def _unwritten(job: EngineJob, error: OSError, said: str = "") -> BundleError:
    return BundleError(
        f"cannot write {job.out.name!r} for {job.target}: {error.strerror}. Nothing was changed; "
        f"make room and compile again: engines that are done are kept.{said}"
    )


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"


def _fail(news: IO[str], error: DenoiseRTError) -> int:
    _tell(news, error={"kind": type(error).__name__, "message": str(error)})
    return 1


def _tell(news: IO[str], **what: object) -> None:
    news.write(f"{json.dumps(what)}\n")


if __name__ == "__main__":
    fix_addresses()
    os._exit(main())  # libraries crash and hang when they are taken apart
