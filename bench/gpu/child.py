"""One phase as a process: its output is passed on, its records are kept, its time ends."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Timer
from time import perf_counter
from typing import NamedTuple

from bench.gpu.machine import ROOT
from bench.gpu.phases import Phase
from denoisert.runtime.measure.record import Machine, Record

RECORD = '{"case": '


class Ending(NamedTuple):
    """How a phase ended.

    Args:
        phase: which.
        state: "ok", "failed", "out of time" or "skipped".
        seconds: it took.
        why: of what is not ok.
    """

    phase: Phase
    state: str
    seconds: float
    why: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether the run has failed with it."""
        return self.state == "failed" or (self.state == "out of time" and self.phase.is_test)


def run(
    phase: Phase, left_s: float, out: Path, machine: Machine, environment: Mapping[str, str]
) -> Ending:
    """Run a phase to its end or its limit; records that it prints are appended to a file.

    Args:
        phase: what to run.
        left_s: of the whole run.
        out: file of JSON lines.
        machine: goes into the records that are printed.
        environment: of the child.

    Returns:
        How it ended.
    """
    if left_s <= 0:
        return Ending(phase, "skipped", 0.0, "the run's time is over")
    if phase.wants and importlib.util.find_spec(phase.wants) is None:
        return Ending(phase, "skipped", 0.0, f"{phase.wants} is not installed")
    start, limit_s = perf_counter(), min(phase.limit_s, left_s)
    ended: list[int] = []
    with _started(phase, environment) as child:
        timer = Timer(limit_s, lambda: ended.append(_end(child)))
        timer.start()
        for line in child.stdout or ():
            _take(line, out, machine)
        status = child.wait()
        timer.cancel()
    took = perf_counter() - start
    if ended:
        return Ending(phase, "out of time", took, f"limit {limit_s:.0f} s")
    if status in dict(phase.skipped):
        return Ending(phase, "skipped", took, dict(phase.skipped)[status])
    return Ending(phase, "failed" if status else "ok", took, f"exit {status}" if status else "")


def _started(phase: Phase, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """The child, in a group of its own so that it can be ended with all that it starts."""
    return subprocess.Popen(
        phase.command,
        cwd=ROOT,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _take(line: str, out: Path, machine: Machine) -> None:
    print(f"  {line}", end="", flush=True)
    if line.startswith(RECORD):
        record = replace(Record.from_line(line, "a phase's output"), machine=machine)
        with out.open("a") as lines:
            lines.write(record.line() + "\n")


def _end(child: subprocess.Popen[str]) -> int:
    """End the child with all that it started."""
    os.killpg(child.pid, signal.SIGKILL)
    return child.pid
