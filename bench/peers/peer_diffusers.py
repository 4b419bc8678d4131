"""diffusers' own pipeline on torch: eager in float32 and bfloat16, and torch.compile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.peers.serve import Draw, arguments, run
from bench.peers.with_classes import draw as draw_classes
from bench.peers.work import Job, equal_settings

if TYPE_CHECKING:
    import torch
    from diffusers import StableDiffusionPipeline
    from numpy.typing import NDArray
    from PIL.Image import Image

    Noise = Mapping[int, NDArray]

FORMS = ("float32", "bfloat16", "compile")


def load(folder: Path, form: str) -> Draw:
    """The pipeline, ready to draw.

    Args:
        folder: a diffusers folder.
        form: one of FORMS; "compile" is float32 with torch.compile on the denoiser.
    """
    import diffusers
    import torch

    kind = json.loads((folder / "model_index.json").read_text())["_class_name"]
    dtype = torch.bfloat16 if form == "bfloat16" else torch.float32
    pipeline = getattr(diffusers, kind).from_pretrained(
        folder, torch_dtype=dtype, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    network = "transformer" if kind == "DiTPipeline" else "unet"
    if form == "compile":
        setattr(pipeline, network, torch.compile(getattr(pipeline, network)))
    return partial(draw_classes if kind == "DiTPipeline" else draw, pipeline, dtype)


def draw(
    pipeline: StableDiffusionPipeline, dtype: torch.dtype, work: Sequence[Job], noise: Noise
) -> list[Image]:
    """Equal settings in one batch, anything else one after the other.

    Args:
        pipeline: diffusers' own, or optimum's with the same call.
        dtype: of the latents it takes, one of torch's.
        work: what to draw.
        noise: by seed.

    Returns:
        A PIL image a job.
    """
    if equal_settings(work):
        return _batch(pipeline, dtype, work, noise)
    return [picture for job in work for picture in _batch(pipeline, dtype, [job], noise)]


def _batch(
    pipeline: StableDiffusionPipeline, dtype: torch.dtype, work: Sequence[Job], noise: Noise
) -> list[Image]:
    import numpy as np
    import torch

    start = torch.from_numpy(np.stack([noise[job.seed] for job in work]))
    found = pipeline(
        prompt=[job.prompt for job in work],
        num_inference_steps=work[0].steps,
        guidance_scale=work[0].guidance,
        latents=start.to(dtype),
    )
    return list(found.images)


if __name__ == "__main__":
    options = arguments(FORMS)
    run(options, partial(load, options.folder, options.form))
