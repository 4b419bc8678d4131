"""What a GPU run does, in order of importance: commands with time limits.

The limits add up to more than a run may take; what is left when its time is over is skipped, and
`--only` runs it another time.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from bench.gpu.machine import ROOT

MARKS = ("mark.gpu", "kernel_device")  # what a file with tests of a GPU names
COMPILED = ("torch.compile",)
# Of `sanitize`, which imports torch: a broken one must not end the run that is to tell so.
KERNELS = (
    *("step", "step ancestral", "step multistep", "step corrector", "step thresholded", "feed"),
    *("vectors", "argument", "philox", "lanes", "gram", "rule", "quantile", "pool"),
)
# Sizes at which a compiled kernel is compared: that of 64 MB and more, and the smallest.
COMPILED_SIZES = ("4838400 x 1", " 16384 x 1")
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


@dataclass(frozen=True, slots=True)
class Folders:
    """Where phases write.

    Args:
        out: file of records.
        shelf: folder of networks with random weights.
    """

    out: Path
    shelf: Path

    def room(self, *names: str) -> tuple[str, ...]:
        """The command of some benchmark files."""
        return ("bench.gpu.room", *names, "--out", str(self.out), "--shelf", str(self.shelf))


def full(folders: Folders) -> list[Phase]:
    """The phases of a GPU."""
    room, eager = folders.room, ("--without", *COMPILED)
    largest = ("--cases", *COMPILED_SIZES)
    return [
        Phase("environment", ("bench.gpu.environment",), 30),
        _tests(("-m", "gpu"), 120),
        Phase("seed", room("loop/bench_seed"), 40),
        Phase("kernels", (*room("gpu/bench_kernels"), *eager), 90),
        Phase("loop few", (*room("loop/bench_few"), "--cases", "batch 1"), 75),
        Phase("loop dit", (*room("loop/bench_dit"), *eager), 50),
        Phase("loop sd15", (*room("loop/bench_sd15"), *eager), 60),
        Phase("loop sdxl", (*room("loop/bench_sdxl"), *eager), 130),
        _sanitized("memcheck", 75),
        _compiled(folders, "dit", 60),
        Phase("kernels compiled", (*room("gpu/bench_kernels"), "--only", *COMPILED, *largest), 75),
        _compiled(folders, "sd15", 90),
        _sanitized("racecheck", 75),
        _compiled(folders, "sdxl", 150),
        Phase("loop few batch 4", (*room("loop/bench_few"), "--cases", "batch 4"), 75),
        Phase("rtx build", ("bench.rtx_engine", "build"), 30),
        Phase("rtx run", ("bench.rtx_engine", "run"), 30),
    ]


def dry(folders: Folders) -> list[Phase]:
    """The same on a CPU, at the smallest size, with interpreted kernels."""
    room, tiny, launches = folders.room, ("--tiny",), ("bench.gpu.sanitize", "--device", "cpu")
    loops = tuple(f"loop/bench_{noun}" for noun in ("dit", "sd15", "sdxl"))
    return [
        Phase("environment", ("bench.gpu.environment",), 30),
        _tests(("-m", "gpu", "--collect-only", "-q"), 60),
        Phase("launches", (*launches, *KERNELS), 60, is_test=True),
        Phase("seed", (*room("loop/bench_seed"), *tiny), 40),
        Phase("kernels", (*room("gpu/bench_kernels"), *tiny), 60),
        Phase("loop few", (*room("loop/bench_few"), *tiny), 40),
        Phase("loops", (*room(*loops), *tiny, "--without", *COMPILED), 60),
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


def _compiled(folders: Folders, noun: str, limit_s: float) -> Phase:
    command = (*folders.room(f"loop/bench_{noun}"), "--only", *COMPILED, "--cases", "batch 1")
    return Phase(f"loop {noun} compiled", command, limit_s)
