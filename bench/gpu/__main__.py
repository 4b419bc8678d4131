"""python -m bench.gpu [--dry] [--out FOLDER] [--limit-s N]: all that only a GPU can tell.

Unattended, in at most 8 minutes: facts, tests, sanitizer, kernels, loops, TensorRT-RTX; each in a
process of its own, every record written at once. `--dry` runs the same on a CPU at the smallest
size.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from bench.gpu.child import Ending, run
from bench.gpu.machine import ROOT, gpu, machine
from bench.gpu.phases import Phase, dry, full
from bench.run import slug
from denoisert.runtime.measure.against import read
from denoisert.runtime.measure.record import Record

Phases = Callable[[Path], list[Phase]]

LIMIT_S = 480.0
SHOWN = ("error", "non_network_percent", "first_picture_s")
INTERPRETED = {"TRITON_INTERPRET": "1"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run every phase.

    Returns:
        1 if a phase failed, 2 without a GPU, else 0.
    """
    options = _parser().parse_args(argv)
    if not options.dry and not gpu():
        print("nvidia-smi names no GPU; --dry runs every phase on the CPU.")
        return 2
    if options.dry and options.out is None:
        with TemporaryDirectory() as folder:
            return _run(dry, Path(folder), options.limit_s, {**os.environ, **INTERPRETED})
    out = options.out or ROOT / "bench" / "results"
    environment = {**os.environ, **(INTERPRETED if options.dry else {})}
    return _run(dry if options.dry else full, out, options.limit_s, environment)


def _run(phases: Phases, folder: Path, limit_s: float, environment: dict[str, str]) -> int:
    where, start = machine(), perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{slug(where.device)}-gpu-{where.date[:10]}.jsonl"
    endings = []
    for phase in phases(out):
        print(f"== {phase.name}", flush=True)
        left_s = limit_s - (perf_counter() - start)
        endings.append(run(phase, left_s, out, where, environment))
        print(f"== {_said(endings[-1])}", flush=True)
    _summary(endings, out, where.date)
    return int(any(ending.is_failure for ending in endings))


def _said(ending: Ending) -> str:
    return f"{ending.phase.name:20} {ending.state:12} {ending.seconds:6.1f} s  {ending.why}"


def _summary(endings: list[Ending], out: Path, since: str) -> None:
    """Few words a line: the end of the output is what a remote caller sees."""
    print("\n== loops")
    records = read(out) if out.exists() else []
    for record in records:
        if record.machine.date >= since and record.case.startswith("loop/"):
            print(f"{record.case:48} {record.provider:30} {_figures(record)}")
    print("\n== phases", *map(_said, endings), sep="\n")
    print(f"{len(records)} records in {out.name}")


def _figures(record: Record) -> str:
    shown = {key: record.extra.get(key, "") for key in SHOWN}
    rest = ", ".join(f"{key} {value}" for key, value in shown.items())
    return f"{record.median:9.4g} {record.unit}, {rest}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--dry", action="store_true", help="on the CPU, at the smallest size")
    parser.add_argument("--out", type=Path, help="folder of the file of records")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="seconds of the whole run")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
