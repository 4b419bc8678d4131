"""optimum-onnx: diffusers' loop around ONNX Runtime sessions, float32."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bench.peers.peer_diffusers import draw
from bench.peers.serve import Draw, arguments, run

FORMS = ("float32",)


def export(folder: Path, out: Path) -> None:
    """Write the ONNX files of a diffusers folder, as optimum does it."""
    from optimum.onnxruntime import ORTStableDiffusionPipeline

    ORTStableDiffusionPipeline.from_pretrained(str(folder), export=True).save_pretrained(out)


def load(folder: Path) -> Draw:
    """The pipeline on what `export` wrote, ready to draw."""
    import torch
    from optimum.onnxruntime import ORTStableDiffusionPipeline

    pipeline = ORTStableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return partial(draw, pipeline, torch.float32)


if __name__ == "__main__":
    options = arguments(FORMS)
    run(options, partial(load, options.folder))
