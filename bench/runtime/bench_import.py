"""Imports in fresh processes, against the interpreter and NumPy alone."""

from __future__ import annotations

from collections.abc import Iterator

from bench.case import Case, Setting, Size
from bench.run import run
from bench.runtime.fresh import fresh_records, start
from denoisert.runtime.measure.record import Record

COMMANDS = {
    "python": ("-c", "pass"),
    "numpy": ("-c", "import numpy"),
    "denoisert.runtime": ("-c", "import denoisert.runtime"),
    "denoisert Runtime": ("-c", "from denoisert.runtime import Request, Runtime"),
    "denoisert --help": ("-m", "denoisert.runtime.cli", "--help"),
    "torch": ("-c", "import torch"),
    "diffusers scheduler": ("-c", "from diffusers import FlowMatchEulerDiscreteScheduler"),
}


def cases(size: Size) -> list[Case]:
    """One case; TINY leaves out the two large libraries."""
    del size
    return [Case("runtime/import", _measure)]


def _measure(case: str, setting: Setting) -> Iterator[Record]:
    count = len(COMMANDS) if setting.size is Size.FULL else len(COMMANDS) - 2
    chosen = list(COMMANDS.items())[:count]
    return fresh_records(case, setting, {name: start(command) for name, command in chosen})


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()
