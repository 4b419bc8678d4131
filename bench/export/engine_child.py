"""python -m bench.export.engine_child FOLDER OUT SIZE: compile for every target, print figures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from denoisert.export import CompileOptions, compile_bundle
from denoisert.export.need import Need
from denoisert.export.options import Compiled, EngineOptions
from denoisert.runtime import OpenVino, TensorRtRtx
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.target import engine_key

TARGETS = (TensorRtRtx("float16"), OpenVino("bfloat16"))
DENOISER = "denoiser"
TILE = (8, 8)  # of the autoencoder, which is not what is measured
LANES = (1, 2)


def main(argv: Sequence[str] | None = None) -> None:
    """Compile one folder."""
    parser = argparse.ArgumentParser(prog="python -m bench.export.engine_child")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("size", type=int)
    options = parser.parse_args(argv)
    asked: list[Need] = []
    settings = EngineOptions(lanes=LANES)
    chosen = CompileOptions(TARGETS, ((options.size,) * 2,), TILE, engines=settings)
    start = perf_counter()
    made = compile_bundle(options.folder, options.out, options=chosen, before=asked.append)
    whole_s = perf_counter() - start
    found = {key: _figures(made, asked[0], key) for key in map(engine_key, TARGETS)}
    print(json.dumps({key: each | {"whole_s": whole_s} for key, each in found.items()}))


def _figures(made: Compiled, need: Need, key: str) -> dict[str, float]:
    """What the denoiser's engine took, and what was said before."""
    name = f"{DENOISER} {key}"
    built, expected = made.built[name], made.expected[name]
    said = [each for each in need.engines if each.name.endswith(f" {key}")]
    before = max(said, key=lambda each: each.memory_bytes)  # a folder calls its networks otherwise
    manifest = Bundle.open(made.path).manifest
    graph = manifest.engines[key].graphs[DENOISER]
    size = sum(manifest.files[path].size for path in (graph.path, *graph.weights))
    errors = [each.relative_error for each in made.parity if each.component == DENOISER]
    return {
        "seconds": built.seconds,
        "memory_bytes": built.peak_bytes,
        "disk_bytes": size,
        "error": max(errors),
        "expected_seconds": expected.seconds,
        "expected_memory_bytes": expected.memory_bytes,
        "expected_disk_bytes": expected.disk_bytes,
        "before_memory_bytes": before.memory_bytes,
        "before_disk_bytes": before.disk_bytes,
    }


if __name__ == "__main__":
    main()
