"""python -m bench.export.folder MODEL FOLDER: write a model's folder with random weights."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import diffusers
import torch

from bench.export.cases import MODELS
from bench.export.models import Model
from bench.export.parts import beside

STD = 0.02


def write(model: Model, folder: Path) -> None:
    """Save a pipeline; whatever its network starts at zero is drawn, for parity on it."""
    torch.manual_seed(0)
    network = getattr(diffusers, model.network)(**model.config)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=STD)
    rest = beside(model.pipeline, **model.text)
    name = "unet" if model.network.startswith("UNet") else "transformer"
    pipeline = getattr(diffusers, model.pipeline)(**rest, **{name: network})
    pipeline.save_pretrained(folder)


def main(argv: Sequence[str] | None = None) -> None:
    """Write one folder."""
    parser = argparse.ArgumentParser(prog="python -m bench.export.folder", description=__doc__)
    parser.add_argument("model", choices=list(MODELS))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(argv)
    write(MODELS[options.model], options.folder)


if __name__ == "__main__":
    main()
