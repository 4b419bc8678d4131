"""A whole model whose weights are holes in a file, and the refusal to compile it.

The folder is one that a machine with enough memory would compile; only the numbers in its weights
were never written, so it takes no disk.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import diffusers
import torch

from bench.case import Setting, summary
from bench.export.models import Model
from bench.export.parts import beside
from bench.run import ROOT
from denoisert.runtime.measure.record import Record

if TYPE_CHECKING:
    from torch import nn

COMMAND = "import sys; from denoisert.runtime.cli import main; sys.exit(main())"
FLOAT_BYTES = 4
INDEX = "model_index.json"
NAME = "diffusion_pytorch_model.safetensors"


def refused(model: Model, setting: Setting, folder: Path | None) -> Iterator[Record]:
    """Ask the real command to compile a model that this machine may not hold.

    Args:
        model: every layer of it.
        setting: where.
        folder: where the hollow model is kept meanwhile.

    Yields:
        How long the refusal took and what it said; nothing where it was compiled.
    """
    with tempfile.TemporaryDirectory(dir=folder) as place:
        source, size = Path(place, "model"), f"{model.size}x{model.size}"
        hollow(model, source)
        words = ["compile", source, "-o", Path(place, "out.bundle"), "--size", size]
        command = [sys.executable, "-c", COMMAND, *map(str, words)]
        start = perf_counter()
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        seconds = perf_counter() - start
    if done.returncode:
        said = {"refusal": done.stderr.splitlines()[-1].removeprefix("denoisert: ")}
        case = f"export/guard {model.title}, {size}"
        yield summary(case, "denoisert", [seconds], setting, unit="s", warm_up=0, extra=said)


def hollow(model: Model, folder: Path) -> None:
    """Write a pipeline's folder whose network has a header and no numbers."""
    with torch.device("meta"):
        network = getattr(diffusers, model.network)(**model.config)
    name = "unet" if model.network.startswith("UNet") else "transformer"
    pipeline = getattr(diffusers, model.pipeline)(**beside(model.pipeline), **{name: None})
    pipeline.save_pretrained(folder)
    network.save_config(folder / name)
    index = json.loads((folder / INDEX).read_text())
    (folder / INDEX).write_text(json.dumps(index | {name: ["diffusers", model.network]}))
    _write(network, folder / name / NAME)


def _write(network: nn.Module, path: Path) -> None:
    entries, end = {}, 0
    for key, tensor in network.state_dict().items():
        start, end = end, end + FLOAT_BYTES * tensor.numel()
        shape = list(tensor.shape)
        entries[key] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    with path.open("r+b") as file:
        file.truncate(8 + len(text) + end)
