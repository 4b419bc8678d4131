"""python -m tests.export.families.targets [NAME ...]: every family on every target, recorded.

Each small folder's bundle is compiled again for all targets that compile here. What is kept is the
worst relative error over the components, how long it took and how large the engines are; a target
that cannot run here is represented by the form that its engine was made of, executed as written.
docs/targets.md is made of the records.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import process_time

from denoisert.export import CompileOptions, compile_bundle
from denoisert.runtime import OnnxRuntime, OpenVino, TensorRtRtx
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.target import engine_key
from denoisert.runtime.measure.record import processor
from tests.export.families.folders import FAMILIES, write

RECORDS = Path(__file__).with_name("targets.jsonl")
TARGETS = (
    OnnxRuntime(),
    OnnxRuntime("int8"),
    OpenVino("float32"),
    OpenVino("bfloat16"),
    TensorRtRtx("float16"),
    TensorRtRtx("bfloat16"),
)
KEYS = tuple(engine_key(target) for target in TARGETS)


def records(path: Path = RECORDS) -> dict[str, dict]:
    """Name of a family's folder -> its record."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {each["name"]: each for each in map(json.loads, lines)}


def measured(name: str, place: Path) -> dict:
    """The record of one folder.

    Args:
        name: a key of FAMILIES.
        place: an empty folder to work in.
    """
    folder, plain, out = write(name, place / name), place / "plain.bundle", place / "all.bundle"
    compile_bundle(folder, plain, options=CompileOptions(sizes=FAMILIES[name].sizes))
    begin = process_time()
    made = compile_bundle(plain, out, options=CompileOptions(TARGETS))
    seconds = process_time() - begin
    return {
        "name": name,
        "date": datetime.now(UTC).date().isoformat(),
        "device": f"{processor()}, {platform.system()}",
        "versions": {
            key: entry.version for key, entry in Bundle.open(out).manifest.engines.items()
        },
        "components": len(Bundle.open(out).card.components),
        "cpu_s": round(seconds, 1),
        "errors": {key: error_of(made, key) for key in KEYS},
        "bytes": {key: size_of(out, key) for key in KEYS},
        "notes": list(made.notes),
    }


def error_of(made: object, key: str) -> dict:
    """The worst relative error of an engine set, and whether its engines or their forms ran."""
    ran = [each.relative_error for each in made.parity if each.graph == key]
    form = [each.relative_error for each in made.parity if each.graph == f"{key} graph"]
    return {"error": max(ran or form), "ran": bool(ran)}


def size_of(out: Path, key: str) -> int:
    """Bytes that an engine set takes in the bundle, its weights included."""
    manifest = Bundle.open(out).manifest
    graphs = manifest.engines[key].graphs.values()
    files = {path for graph in graphs for path in (graph.path, *graph.weights)}
    return sum(manifest.files[path].size for path in files)


def main(names: Sequence[str]) -> None:
    """Measure the folders named, or all, and replace their records."""
    warnings.simplefilter("ignore")  # of diffusers and transformers about their own defaults
    for name in names or FAMILIES:
        with tempfile.TemporaryDirectory() as place:
            made = measured(name, Path(place))
        kept = records() | {name: made}
        lines = [json.dumps(kept[each]) for each in FAMILIES if each in kept]
        RECORDS.write_text("\n".join(lines) + "\n", encoding="utf-8")
        errors = {key: f"{each['error']:.1e}" for key, each in made["errors"].items()}
        print(f"{name}: {made['cpu_s']} s, {errors}", *made["notes"], sep="\n  ", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
