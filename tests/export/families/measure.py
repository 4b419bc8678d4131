"""python -m tests.export.families.measure [NAME ...]: how near families are to diffusers, recorded.

Each folder is compiled once at both of its sizes and run from one request a size on both engines;
the worst error goes to records.jsonl, of which docs/models.md is made. The tests beside this file
compare the same and more, and fail where a bound is broken; here the figure itself is kept.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import process_time

import numpy as np

from denoisert.export import CompileOptions, compile_bundle
from denoisert.export.parity import relative_error
from denoisert.runtime import Request, Runtime, Start, Torch
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.measure.record import processor
from tests.export.families.family import mask, masked
from tests.export.families.folders import FAMILIES, write

RECORDS = Path(__file__).with_name("records.jsonl")
ENGINES = {"onnxruntime": "cpu", "torch": Torch("cpu")}
DENOISER = "denoiser"
CALLS = {"flux_schnell": {"max_sequence_length": 256}}
"""What a model's own page tells its pipeline, where the pipeline's default is another model's."""


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
    family, folder, out = FAMILIES[name], write(name, place / name), place / f"{name}.bundle"
    begin = process_time()
    compile_bundle(folder, out, options=CompileOptions(sizes=family.sizes))
    seconds = process_time() - begin
    errors = dict(errors_of(name, folder, out))
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    return {
        "name": name,
        "pipeline": index["_class_name"],
        "date": datetime.now(UTC).date().isoformat(),
        "device": f"{processor()}, {platform.system()}",
        "versions": {each: version(each) for each in ("diffusers", "torch", "onnxruntime")},
        "sizes": family.sizes,
        "steps": family.request().steps,
        "nodes": nodes(out),
        "compile_cpu_s": round(seconds, 1),
        "errors": errors,
    }


def errors_of(name: str, folder: Path, out: Path) -> Iterator[tuple[str, dict]]:
    """Engine -> the worst relative error of latents and the worst step of a pixel of 255."""
    family, card = FAMILIES[name], Bundle.open(out).card
    is_told, guided = bool(card.network.guidance), len(family.guidances) - 1
    told = dict(CALLS.get(name, {}))
    if is_told:
        told, guided = told | {"guidance_scale": card.sampler.guidance.scale}, 0
    asked = [family.request(size=size, guidance=guided) for size in (0, 1)]
    if family.pictures is masked:
        asked = [replace(each, start=hidden(each)) for each in asked]
    theirs = [family.pictures(folder, each, **told) for each in asked]
    if is_told:
        asked = [replace(each, guidance=card.sampler.guidance) for each in asked]
    for engine, device in ENGINES.items():
        with Runtime.open(out, threads=1, devices=(device,)) as runtime:
            found = [runtime.generate(each) for each in asked]
        latents = [next(iter(each.latents.values())) for each in found]
        pixels = [np.stack([np.asarray(image) for image in each.images]) for each in found]
        pairs = list(zip(latents, pixels, theirs, strict=True))
        yield (
            engine,
            {
                "latents": max(float(relative_error(a, c.latents)) for a, _, c in pairs),
                "pixels": max(int(np.abs(b.astype(int) - c.pixels).max()) for _, b, c in pairs),
            },
        )


def hidden(request: Request) -> Start:
    """The start of a request with the mask that the oracle of masks takes."""
    return replace(request.start, mask=mask(request.size))


def nodes(out: Path) -> int:
    """Of the denoiser's graph."""
    import onnx

    entry = Bundle.open(out).manifest.graphs[DENOISER]
    return len(onnx.load(out / entry.path, load_external_data=False).graph.node)


def main(names: Sequence[str]) -> None:
    """Measure the folders named, or all, and replace their records."""
    warnings.simplefilter("ignore")  # of diffusers and transformers about their own defaults
    for name in names or FAMILIES:
        with tempfile.TemporaryDirectory() as place:
            made = measured(name, Path(place))
        kept = records() | {name: made}
        lines = [json.dumps(kept[each]) for each in FAMILIES if each in kept]
        RECORDS.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{name}: {made['errors']}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
