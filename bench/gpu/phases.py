"""What a GPU run does, in order of importance: commands with time limits.

The limits add up to more than a run may take; what is left when its time is over is skipped.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from bench.gpu.machine import ROOT

MARKS = ("mark.gpu", "kernel_device")  # what a file with tests of a GPU names
KERNELS = ("philox", "lanes", "gram", "rule", "quantile", "step")
COMPILED = ("torch.compile",)
# The project's own options need plugins that a GPU machine may lack.
PLAIN = (
    *("-o", "addopts=--import-mode=importlib"),
    *("-W", "ignore::pytest.PytestConfigWarning", "-W", "ignore::pytest.PytestUnknownMarkWarning"),
)
QUIET = ("-q", "--no-header", "--continue-on-collection-errors")
NOTHING_COLLECTED, SANITIZER_ABSENT = 5, 3


@dataclass(frozen=True, slots=True)
class Phase:
    """One child of the run.

    Args:
        name: for the table.
        arguments: behind "python -m".
        limit_s: it is ended after so many seconds.
        is_test: whether running out of time is a failure, too.
        skipped: exit status -> why it says that nothing was done.
        wants: module that must be there, or "".
    """

    name: str
    arguments: tuple[str, ...]
    limit_s: float
    is_test: bool = False
    skipped: tuple[tuple[int, str], ...] = ()
    wants: str = ""

    @property
    def command(self) -> list[str]:
        """What is run."""
        return [sys.executable, "-m", *self.arguments]


def full(out: Path) -> list[Phase]:
    """The phases of a GPU."""
    return [
        Phase("environment", ("bench.gpu.environment",), 60),
        _tests(("-m", "gpu"), 120),
        _sanitized("memcheck", 60),
        Phase("kernels", _room(out, "gpu/bench_kernels"), 45),
        Phase("loop few", _room(out, "loop/bench_few"), 75),
        _loop(out, "dit", 60),
        _loop(out, "sd15", 75),
        _loop(out, "sdxl", 110),
        Phase("rtx build", ("bench.rtx_engine", "build"), 30),
        Phase("rtx run", ("bench.rtx_engine", "run"), 30),
        *(_compiled(out, noun, 100) for noun in ("dit", "sd15", "sdxl")),
        _sanitized("racecheck", 60),
    ]


def dry(out: Path) -> list[Phase]:
    """The same on a CPU, at the smallest size, with interpreted kernels."""
    tiny = ("--tiny",)
    return [
        Phase("environment", ("bench.gpu.environment",), 30),
        _tests(("-m", "gpu", "--collect-only", "-q"), 60),
        Phase("launches", ("bench.gpu.sanitize", "--device", "cpu", *KERNELS), 60, is_test=True),
        Phase("kernels", (*_room(out, "gpu/bench_kernels"), *tiny), 30),
        Phase("loop few", (*_room(out, "loop/bench_few"), *tiny), 30),
        Phase("loops", (*_room(out, *_files("dit", "sd15", "sdxl")), *tiny, *_not_compiled()), 30),
        Phase("rtx build", ("bench.rtx_engine", "build"), 30),
    ]


def gpu_tests() -> list[str]:
    """Files with tests of a GPU; others may import what a GPU machine lacks."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    texts = {file: file.read_text(encoding="utf-8") for file in files}
    return [
        str(file.relative_to(ROOT))
        for file, text in texts.items()
        if any(mark in text for mark in MARKS)
    ]


def _tests(options: tuple[str, ...], limit_s: float) -> Phase:
    command = ("pytest", *PLAIN, *QUIET, *options, *gpu_tests())
    empty = ((NOTHING_COLLECTED, "no test was selected"),)
    return Phase("tests", command, limit_s, is_test=True, skipped=empty, wants="pytest")


def _sanitized(tool: str, limit_s: float) -> Phase:
    command = ("bench.gpu.sanitize", "--tool", tool, *KERNELS)
    absent = ((SANITIZER_ABSENT, "no compute-sanitizer"),)
    return Phase(tool, command, limit_s, skipped=absent)


def _loop(out: Path, noun: str, limit_s: float) -> Phase:
    return Phase(f"loop {noun}", (*_room(out, *_files(noun)), *_not_compiled()), limit_s)


def _compiled(out: Path, noun: str, limit_s: float) -> Phase:
    command = (*_room(out, *_files(noun)), "--only", *COMPILED)
    return Phase(f"loop {noun} compiled", command, limit_s)


def _files(*nouns: str) -> tuple[str, ...]:
    return tuple(f"loop/bench_{noun}" for noun in nouns)


def _not_compiled() -> tuple[str, ...]:
    return ("--without", *COMPILED)


def _room(out: Path, *names: str) -> tuple[str, ...]:
    return ("bench.gpu.room", *names, "--out", str(out))
