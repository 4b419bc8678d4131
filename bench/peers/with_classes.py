"""diffusers' pipeline for class-conditioned transformers, from given noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from unittest.mock import patch

from bench.peers.work import Job, equal_settings

if TYPE_CHECKING:
    import torch
    from diffusers import DiTPipeline
    from numpy.typing import NDArray
    from PIL.Image import Image

    Noise = Mapping[int, NDArray]

DRAWS = "diffusers.pipelines.dit.pipeline_dit.randn_tensor"


def draw(
    pipeline: DiTPipeline, dtype: torch.dtype, work: Sequence[Job], noise: Noise
) -> list[Image]:
    """Equal settings in one batch, anything else one after the other.

    Args:
        pipeline: diffusers' own.
        dtype: of its transformer.
        work: what to draw; their labels count.
        noise: by seed.

    Returns:
        A PIL image a job.
    """
    if equal_settings(work):
        return _batch(pipeline, dtype, work, noise)
    return [picture for job in work for picture in _batch(pipeline, dtype, [job], noise)]


def _batch(
    pipeline: DiTPipeline, dtype: torch.dtype, work: Sequence[Job], noise: Noise
) -> list[Image]:
    """One call; it takes no latents, so what it draws is replaced."""
    import numpy as np
    import torch

    start = torch.from_numpy(np.stack([noise[job.seed] for job in work])).to(dtype)
    with patch(DRAWS, lambda *_, **__: start):
        found = pipeline(
            class_labels=[job.label for job in work],
            num_inference_steps=work[0].steps,
            guidance_scale=work[0].guidance,
        )
    return list(found.images)
