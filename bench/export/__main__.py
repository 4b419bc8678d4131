"""Exports of whole models with random weights: time, memory, size, nodes, parity.

python -m bench.export             # all of them: hours, 8 GB of disk and of memory
python -m bench.export dit sd15    # some of them
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.case import Setting, Size
from bench.export import release
from bench.export.cases import DEPTHS, MODELS, REFUSED, RELEASED, SHALLOW, WHOLE
from bench.export.guard import refused
from bench.export.record import extended, figures, measured
from bench.run import BUNDLE, ROOT, here, slug
from denoisert.runtime.measure.record import Record

GUARD = "guard"
RESULTS = ROOT / "bench" / "results"


def main(argv: Sequence[str] | None = None) -> None:
    """Export models, one process each, and append a record of each.

    Args:
        argv: the command line without its first word; None takes the process's own.
    """
    parser = argparse.ArgumentParser(prog="python -m bench.export", description=__doc__)
    known = [*WHOLE, *SHALLOW, *RELEASED, GUARD]
    parser.add_argument("models", nargs="*", choices=[*known, []], help=", ".join(known))
    parser.add_argument("--out", type=Path, help="file of JSON lines to append to")
    parser.add_argument("--folder", type=Path, help="where models and bundles are kept meanwhile")
    options = parser.parse_args(argv)
    machine = here()
    default = (
        ROOT / "bench" / "results" / f"{slug(machine.device)}-export-{machine.date[:10]}.jsonl"
    )
    setting, out = Setting(Size.FULL, machine, BUNDLE), options.out or default
    for model in options.models or known:
        for record in records(model, setting, options.folder):
            print(record.line(), flush=True)
            with out.open("a") as lines:
                lines.write(record.line() + "\n")


def records(name: str, setting: Setting, folder: Path | None) -> list[Record]:
    """Export a model, or its depths and what follows from them for the whole."""
    if name == GUARD:
        return list(refused(REFUSED, setting, folder))
    if name in RELEASED:
        told = exported(name, folder, "bench.export.release")
        return list(release.records(f"export/release {RELEASED[name].title}", told, setting))
    if name in WHOLE:
        return [measured(WHOLE[name], exported(name, folder), setting)]
    found, depths = [], {}
    for each, model in SHALLOW[name].items():
        told = exported("-".join([name, *map(str, each)]), folder)
        found.append(measured(model, told, setting))
        depths[each] = figures(told)
    title = f"export/full {model.title.split(',')[0]}, full depth, {model.size}x{model.size}"
    return [*found, extended(title, DEPTHS[name], depths, setting)]


def exported(name: str, folder: Path | None, last: str = "") -> dict[str, Any]:
    """Write one model and compile it, each in a process of its own.

    Args:
        name: of the model.
        folder: where it is kept meanwhile.
        last: a module that is run with the bundle, whose figures count then.
    """
    with tempfile.TemporaryDirectory(dir=folder) as place:
        source, out = Path(place, name), Path(place, f"{name}.bundle")
        _run("bench.export.folder", name, source)
        told = _run("bench.export.child", source, out, MODELS[name].size)
        return dict(json.loads(_run(last, out) if last else told))


def _run(module: str, *words: object) -> str:
    """The last line that a module of ours prints."""
    command = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return (done.stdout.splitlines() or [""])[-1]


if __name__ == "__main__":
    main()
