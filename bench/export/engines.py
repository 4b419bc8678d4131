"""Engines of whole models with random weights: what building them takes, beside the estimate.

python -m bench.export.engines                 # all of them
python -m bench.export.engines dit-300 sd15    # some of them
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.case import Setting, Size, summary
from bench.export.cases import BUILT
from bench.run import BUNDLE, ROOT, here, slug
from denoisert.runtime.measure.record import Record

GIB = 2**30
FOLDER = "bench.export.folder"
CHILD = "bench.export.engine_child"


def main(argv: Sequence[str] | None = None) -> None:
    """Compile models for the targets that compile here, and append a record of each engine.

    Args:
        argv: the command line without its first word; None takes the process's own.
    """
    parser = argparse.ArgumentParser(prog="python -m bench.export.engines", description=__doc__)
    parser.add_argument("models", nargs="*", choices=[*BUILT, []], help=", ".join(BUILT))
    parser.add_argument("--out", type=Path, help="file of JSON lines to append to")
    parser.add_argument("--folder", type=Path, help="where models and bundles are kept meanwhile")
    options = parser.parse_args(argv)
    machine = here()
    name = f"{slug(machine.device)}-engines-{machine.date[:10]}.jsonl"
    setting, out = Setting(Size.FULL, machine, BUNDLE), options.out or RESULTS / name
    for model in options.models or BUILT:
        for record in records(model, setting, options.folder):
            print(record.line(), flush=True)
            with out.open("a") as lines:
                lines.write(record.line() + "\n")


RESULTS = ROOT / "bench" / "results"


def records(name: str, setting: Setting, folder: Path | None) -> Iterator[Record]:
    """One for each engine of a model's denoiser."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        source, out = Path(place, name), Path(place, f"{name}.bundle")
        _run(FOLDER, name, source)
        told = json.loads(_run(CHILD, source, out, BUILT[name].size))
    for key, found in told.items():
        yield _record(f"export/engine {BUILT[name].title}, {key}", found, setting)


def _record(case: str, found: dict[str, Any], setting: Setting) -> Record:
    """Measured figures, and how far the estimate was from them."""
    extra: dict[str, float | str] = {}
    for each in ("seconds", "memory_bytes", "disk_bytes"):
        measured, expected = found[each], found[f"expected_{each}"]
        unit = 1.0 if each == "seconds" else GIB
        label = each.replace("_bytes", "_gib")
        extra[label] = round(measured / unit, 3)
        extra[f"expected_{label}"] = round(expected / unit, 3)
        extra[f"{label}_ratio"] = round(expected / measured, 3)
    extra |= {"error": found["error"], "whole_s": round(found["whole_s"], 1)}
    return summary(case, "denoisert", [1e3 * found["seconds"]], setting, warm_up=0, extra=extra)


def _run(module: str, *words: object) -> str:
    """The last line that a module of ours prints."""
    command = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return (done.stdout.splitlines() or [""])[-1]


if __name__ == "__main__":
    main()
