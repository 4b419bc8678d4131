"""Cold start: from the start of a process to the first picture, in turns."""

from __future__ import annotations

from collections.abc import Iterator

from bench.case import Case, Setting, Size
from bench.run import run
from bench.runtime.first_picture import PROVIDERS
from bench.runtime.fresh import fresh_records, start
from denoisert.runtime.measure.record import Record


def cases(size: Size) -> list[Case]:
    """One picture of a digit, 25 steps, guidance 2."""
    del size
    return [Case("runtime/cold start to first picture", _measure)]


def _measure(case: str, setting: Setting) -> Iterator[Record]:
    bundle, threads = str(setting.bundle), str(setting.machine.cores)
    commands = {
        name: start(("-m", "bench.runtime.first_picture", name, bundle, threads))
        for name in PROVIDERS
    }
    return fresh_records(case, setting, commands)


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()
