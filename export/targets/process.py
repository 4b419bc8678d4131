"""The process that builds one engine, seen from outside: its news, its end, and how it ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import IO, Any, Final

from denoisert.export.targets.job import EngineJob
from denoisert.runtime import errors
from denoisert.runtime.errors import BuildError, DenoiseRTError

WAIT_S: Final = 10.0
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


class EngineProcess:
    """One engine to be built.

    Args:
        job: what to build.
        memory_bytes: what its process may allocate; None for no bound.
    """

    def __init__(self, job: EngineJob, memory_bytes: int | None) -> None:
        self.job = job
        self._memory_bytes = memory_bytes
        self._process: subprocess.Popen[str] | None = None

    def run(self, step: Step) -> Built:
        """Start the process and wait for the engine.

        Args:
            step: called with the news of the compiler.

        Raises:
            BuildError: the compiler refused, crashed or was killed; the message has its own words.
            DenoiseRTError: what it raised.
        """
        command = [sys.executable, "-m", MODULE]
        with tempfile.TemporaryFile() as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.job.root,
                text=True,
                encoding="utf-8",
            )
            told = self._listen(self._process, step)
            if "error" in told:
                raise _error(told["error"])
            if "built" not in told:
                raise self._crashed(self._process.returncode, log)
        return Built(**told["built"])

    def stop(self) -> None:
        """End the process, gently first; harmless once it has ended."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listen(self, process: subprocess.Popen[str], step: Step) -> dict[str, Any]:
        """Send the job, pass steps on, and return the last news."""
        told: dict[str, Any] = {}
        with process:
            try:
                if process.stdin is not None and process.stdout is not None:
                    with suppress(BrokenPipeError):  # it died at once; its status says how
                        process.stdin.write(self._asked())
                        process.stdin.close()
                    for line in process.stdout:
                        told = json.loads(line)
                        if "step" in told:
                            step(*told["step"])
            finally:
                self.stop()
        return told

    def _asked(self) -> str:
        return json.dumps({"job": plain_job(self.job), "memory_bytes": self._memory_bytes})

    def _crashed(self, code: int, log: IO[bytes]) -> BuildError:
        job = self.job
        how = f"ended with status {code}"
        if code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        advice = "Compile again: engines that are done are kept."
        if self._memory_bytes is not None or code == -signal.SIGKILL:
            advice = "Memory may be short: give it more, or compile fewer lanes or sizes."
        log.seek(0)
        lines = log.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
        said = " | ".join(line.strip() for line in lines if line.strip()) or "nothing"
        return BuildError(
            f"the compiler of {job.component} for {job.target} {how}. {advice} It said: {said}"
        )


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


def _error(told: dict[str, str]) -> DenoiseRTError:
    """The error of our tree that the child raised."""
    kind: type[DenoiseRTError] = getattr(errors, told["kind"], BuildError)
    return kind(told["message"])
