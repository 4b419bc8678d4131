"""python -m bench.gpu.room NAME... --out FILE: cases of single files, named by the GPU.

Unlike `python -m bench` it imports only the files that it is asked for and goes on when one cannot
be imported here, when a case fails, or when a library is missing; it says which. NAME is a file,
for example loop/bench_dit, or a room.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from bench.case import SHELF, Case, Run, Setting, Size
from bench.failures import Failures
from bench.gpu.machine import ROOT, machine
from bench.run import measured

FAILED = 1


@dataclass(frozen=True, slots=True)
class Chosen(Setting):
    """A setting that leaves providers out by how their names begin.

    Args:
        only: begin like one of these; empty takes all.
        without: begin like none of these.
    """

    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def chosen(self, providers: Mapping[str, Run]) -> dict[str, Run]:
        """The providers that this run asks for."""
        return {
            name: run
            for name, run in providers.items()
            if (not self.only or name.startswith(self.only)) and not name.startswith(self.without)
        }


def modules(names: Sequence[str]) -> list[str]:
    """Modules of files or rooms, in the order of the names."""
    found = []
    for name in names:
        path = ROOT / "bench" / f"{name}.py"
        files = [path] if path.exists() else sorted((ROOT / "bench" / name).glob("bench_*.py"))
        found += [f"bench.{file.parent.name}.{file.stem}" for file in files]
    return found


def cases(module: str, size: Size) -> Iterator[Case]:
    """The cases of one file; none if it cannot be imported here."""
    try:
        imported = import_module(module)
    except ImportError as error:
        print(f"skipped {module}: {error}", flush=True)
        return
    yield from imported.cases(size)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; FAILED if a case failed."""
    options = _parser().parse_args(argv)
    size = Size.TINY if options.tiny else Size.FULL
    bundle = ROOT / "demo" / "digits.bundle"  # of cases that want one; none of these does
    chosen = {"only": tuple(options.only), "without": tuple(options.without)}
    setting = Chosen(size, machine(), bundle, shelf=options.shelf, **chosen)
    failures = Failures("phase")
    found = (case for module in modules(options.names) for case in cases(module, size))
    for case in (each for each in found if any(text in each.name for text in options.cases)):
        with failures.of(case.name):
            measured([case], setting, options.out)
    return FAILED if failures.names else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.room", description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="file of JSON lines to append to")
    parser.add_argument("--tiny", action="store_true", help="one round of the smallest")
    parser.add_argument("--cases", nargs="*", default=[""], help="parts of names of cases")
    parser.add_argument("--shelf", type=Path, default=SHELF, help="folder of written networks")
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of provider names")
    parser.add_argument("--without", nargs="*", default=[], help="beginnings of provider names")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
