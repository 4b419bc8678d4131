"""optimum-intel: diffusers' loop around OpenVINO models, float32."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bench.peers.peer_diffusers import draw
from bench.peers.serve import Draw, arguments, run

FORMS = ("float32",)


def export(folder: Path, out: Path) -> None:
    """Write the OpenVINO files of a folder, with the tokenizer that openvino-genai asks for."""
    import openvino
    from openvino_tokenizers import convert_tokenizer
    from optimum.intel import OVStableDiffusionPipeline
    from transformers import AutoTokenizer

    pipeline = OVStableDiffusionPipeline.from_pretrained(
        folder, export=True, compile=False, load_in_8bit=False
    )
    pipeline.save_pretrained(out)
    tokenizer = convert_tokenizer(AutoTokenizer.from_pretrained(folder / "tokenizer"))
    openvino.save_model(tokenizer, out / "tokenizer" / "openvino_tokenizer.xml")


def load(folder: Path) -> Draw:
    """The pipeline on what `export` wrote, ready to draw."""
    import torch
    from optimum.intel import OVStableDiffusionPipeline

    pipeline = OVStableDiffusionPipeline.from_pretrained(
        folder, ov_config={"INFERENCE_PRECISION_HINT": "f32"}
    )
    pipeline.set_progress_bar_config(disable=True)
    return partial(draw, pipeline, torch.float32)


if __name__ == "__main__":
    options = arguments(FORMS)
    run(options, partial(load, options.folder))
