"""The process that builds one engine, seen from outside: its news, its end, and how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from threading import Lock
from typing import IO, Any, Final

from denoisert.export.targets.child import SHORT
from denoisert.export.targets.job import EngineJob
from denoisert.runtime import errors
from denoisert.runtime.errors import BuildError, DenoiseRTError, OutOfMemory

WAIT_S: Final = 3.0
"""How long a compiler that is told to stop has for it."""

TAIL_LINES: Final = 12
MODULE: Final = "denoisert.export.targets.child"

Step = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Built:
    """What a compiler took.

    Args:
        seconds: from its first import to the engine's last byte.
        peak_bytes: most memory of its process.
        is_kept: whether it was built earlier and copied now.
    """

    seconds: float
    peak_bytes: int
    is_kept: bool = False

    def __str__(self) -> str:
        if self.is_kept:
            return "built earlier, copied from the cache"
        return f"{self.seconds:.1f} s, {self.peak_bytes / 2**30:.2f} GiB of memory at its peak"


class EngineProcess:
    """One engine to be built.

    Args:
        job: what to build.
        compiler: name of the module whose `build(job, report)` does it.
        memory_bytes: what its process may allocate; None for no bound.
    """

    def __init__(self, job: EngineJob, compiler: str, memory_bytes: int | None = None) -> None:
        self.job = job
        self._compiler = compiler
        self._memory_bytes = memory_bytes
        self._starting = Lock()
        self._is_stopped = False
        self._process: subprocess.Popen[str] | None = None

    def run(self, step: Step) -> Built:
        """Start the process and wait for the engine.

        Args:
            step: called with the news of the compiler.

        Raises:
            BuildError: the compiler refused, crashed or was killed; the message has its own words.
            DenoiseRTError: what it raised.
        """
        with tempfile.TemporaryFile() as log:
            process = self._start(log)
            told = self._listen(process, step)
            if "error" in told:
                raise _error(told["error"])
            if "built" not in told:
                raise self._crashed(process.returncode, log)
        return Built(**told["built"])

    def interrupt(self) -> None:
        """Tell the process to end; it does not start if it has not yet."""
        with self._starting:
            self._is_stopped = True
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """End the process, gently first; harmless once it has ended."""
        self.interrupt()
        if self._process is None:
            return
        try:
            self._process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self, log: IO[bytes]) -> subprocess.Popen[str]:
        """The process; no folder that it is in counts among Python's own, whatever lies there."""
        with self._starting:
            if self._is_stopped:
                raise BuildError(f"{self.job.component} for {self.job.target} was stopped.")
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.job.root,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        return self._process

    def _listen(self, process: subprocess.Popen[str], step: Step) -> dict[str, Any]:
        """The last news of a process; where whoever hears the steps fails, it is ended."""
        with process, ExitStack() as failed:
            failed.callback(self.stop)
            told = self._hear(process, step)
            failed.pop_all()
        return told

    def _hear(self, process: subprocess.Popen[str], step: Step) -> dict[str, Any]:
        """Send the job, pass steps on, and return the last news."""
        told: dict[str, Any] = {}
        _send(process.stdin, self._asked())
        for news in map(_news, process.stdout or ()):
            if "step" in news:
                step(*news["step"])
            told = news or told
        return told

    def _asked(self) -> str:
        return json.dumps(
            {
                "job": plain_job(self.job),
                "compiler": self._compiler,
                "memory_bytes": self._memory_bytes,
                "parent": os.getpid(),
            }
        )

    def _crashed(self, code: int, log: IO[bytes]) -> DenoiseRTError:
        """Its end as an error: of memory where that is bounded and its last words are about it."""
        job = self.job
        advice = (
            "Compile again, engines that are done are kept; if it ends so again, leave this target "
            "out and report it."
        )
        if self._memory_bytes is not None or code == -signal.SIGKILL:
            advice = "Memory may be short: give it more, or compile a smaller --batch or --size."
        log.seek(0)
        lines = log.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
        said = " | ".join(line.strip() for line in lines if line.strip()) or "nothing"
        kind = OutOfMemory if self._memory_bytes is not None and SHORT.search(said) else BuildError
        return kind(
            f"the compiler of {job.component} for {job.target} {ending(code)}. {advice} It said: "
            f"{said}"
        )


def ending(code: int) -> str:
    """How a process has ended, in words.

    Args:
        code: its exit status; of one that a signal has ended, the signal below 0.
    """
    if code >= 0:
        return f"ended with status {code}"
    return f"was ended by signal {-code}, {signal.strsignal(-code)}"


def plain_job(job: EngineJob) -> dict[str, object]:
    """The job as JSON takes it."""
    paths = {name: str(getattr(job, name)) for name in ("graph", "root", "out")}
    return {
        "component": job.component,
        "target": job.target,
        **paths,
        "profiles": [asdict(profile) for profile in job.profiles],
        "capabilities": list(job.capabilities),
    }


def _send(pipe: IO[str] | None, text: str) -> None:
    if pipe is not None:
        with suppress(BrokenPipeError):  # it died at once; its status says how
            pipe.write(text)
            pipe.close()


def _news(line: str) -> dict[str, Any]:
    """What a line tells; nothing where it is cut short, or of something that starts with Python."""
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _error(told: dict[str, str]) -> DenoiseRTError:
    """The error of our tree that the child raised."""
    kind: type[DenoiseRTError] = getattr(errors, told["kind"], BuildError)
    return kind(told["message"])
