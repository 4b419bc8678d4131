"""python -m bench.gpu [--dry] [--only NAME..] [--out FOLDER] [--limit-s N]: all a GPU can tell.

Unattended, in at most 8 minutes: facts, tests, kernels, loops, sanitizer, TensorRT-RTX; each in a
process of its own, every record written at once. What fails is said and costs no other phase.
`--dry` runs the same on a CPU at the smallest size.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from bench.gpu.child import Ending, run
from bench.gpu.machine import ROOT, gpu, machine
from bench.gpu.phases import Folders, Phase, dry, full
from bench.gpu.summary import judged, loops
from bench.run import slug
from denoisert.runtime.measure.against import read
from denoisert.runtime.measure.record import Record

LIMIT_S = 480.0
SHARED, ROOM = Path("/dev/shm"), 24 * 2**30  # bytes: SDXL's weights and the others'
INTERPRETED = {"TRITON_INTERPRET": "1"}
# Plugins that a machine happens to have may want what the project does not configure.
PYTEST = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run every phase.

    Returns:
        1 if a phase failed, 2 without a GPU, else 0.
    """
    options = _parser().parse_args(argv)
    if not options.dry and not gpu():
        print("nvidia-smi names no GPU; --dry runs every phase on the CPU.")
        return 2
    environment = {**os.environ, **PYTEST, **(INTERPRETED if options.dry else {})}
    with TemporaryDirectory() as kept, TemporaryDirectory(dir=_roomy()) as shelf:
        out = options.out or (Path(kept) if options.dry else ROOT / "bench" / "results")
        made = partial(_phases, dry if options.dry else full, options.only)
        return _run(made, (out, Path(shelf)), options.limit_s, environment)


def _roomy() -> Path | None:
    """Memory for the weights where there is enough; else the folder of temporary files."""
    is_roomy = SHARED.is_dir() and shutil.disk_usage(SHARED).free > ROOM
    return SHARED if is_roomy else None


def _phases(
    make: Callable[[Folders], list[Phase]], only: Sequence[str], folders: Folders
) -> list[Phase]:
    return [phase for phase in make(folders) if not only or phase.name in only]


def _run(
    phases: Callable[[Folders], list[Phase]],
    folders: tuple[Path, Path],
    limit_s: float,
    environment: dict[str, str],
) -> int:
    where, start = machine(), perf_counter()
    folder, shelf = folders
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{slug(where.device)}-gpu-{where.date[:10]}.jsonl"
    endings = []
    for phase in phases(Folders(out, shelf)):
        print(f"== {phase.name}", flush=True)
        left_s = limit_s - (perf_counter() - start)
        endings.append(run(phase, left_s, out, where, environment))
        print(f"== {_said(endings[-1])}", flush=True)
    records = [record for record in _read(out) if record.machine.date >= where.date]
    verdicts = judged(records) if gpu() else ["== aims: judged on a GPU only"]
    print("", *verdicts, *loops(records), "== phases", *map(_said, endings), sep="\n")
    print(f"{len(records)} records in {out}")
    return int(any(ending.is_failure for ending in endings))


def _read(out: Path) -> list[Record]:
    return read(out) if out.exists() else []


def _said(ending: Ending) -> str:
    return f"{ending.phase.name:20} {ending.state:12} {ending.seconds:6.1f} s  {ending.why}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--dry", action="store_true", help="on the CPU, at the smallest size")
    parser.add_argument("--only", nargs="+", default=[], help="names of phases")
    parser.add_argument("--out", type=Path, help="folder of the file of records")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="seconds of the whole run")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
