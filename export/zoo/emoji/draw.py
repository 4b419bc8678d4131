"""The fixed measure of the shipped folder, drawn by diffusers' own pipeline.

python -m denoisert.export.zoo.emoji.draw --model export/zoo/emoji/model --sheet pictures.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from denoisert.export.zoo.emoji.architecture import Pipeline
from denoisert.export.zoo.emoji.data import load_glyphs
from denoisert.export.zoo.emoji.folder import load_pipeline
from denoisert.export.zoo.emoji.quality import (
    CAPTIONS,
    fixed_captions,
    reconstruction_error,
    score,
    shuffled,
    write_sheet,
)

BATCH: Final = 20
"""Pictures drawn at once."""


def draw(
    pipeline: Pipeline,
    places: NDArray[np.integer[Any]],
    *,
    steps: int = 20,
    guidance_scale: float = 4.0,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Draw glyphs of the list from their captions.

    Args:
        pipeline: from `load_pipeline`.
        places: (B,) places in the list.
        steps: of DPM-Solver++(2M).
        guidance_scale: 1 means none.
        seed: the noise of a picture depends on it and on the place alone, not on the batch.

    Returns:
        (B, 64, 64, 3) uint8 RGB.
    """
    glyphs = load_glyphs()
    parts = []
    for first in range(0, len(places), BATCH):
        some = [int(place) for place in places[first : first + BATCH]]
        images = pipeline(
            [glyphs[place].caption for place in some],
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=[torch.Generator().manual_seed(seed * 1000 + place) for place in some],
            output_type="np",
        ).images
        parts.append((images * 255).round().astype(np.uint8))
    return np.concatenate(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the fixed captions and print the measure."""
    parser = argparse.ArgumentParser(description="Measure the emoji model with diffusers.")
    parser.add_argument("--model", type=Path, required=True, help="the diffusers folder")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--captions", type=int, default=CAPTIONS, help="of the fixed 200")
    parser.add_argument("--sheet", type=Path, help="PNG of the pictures")
    chosen = parser.parse_args(arguments)
    asked = fixed_captions()[: chosen.captions]
    pictures = draw(
        load_pipeline(chosen.model),
        asked,
        steps=chosen.steps,
        guidance_scale=chosen.guidance,
        seed=chosen.seed,
    )
    found, blind = score(pictures, asked), score(pictures, shuffled(asked))
    print(f"{len(asked)} captions, {chosen.steps} steps, guidance {chosen.guidance:g}")
    print(f"top-1 {found.top1:.1%}, top-5 {found.top5:.1%}; shuffled top-1 {blind.top1:.1%}")
    print(f"autoencoder: mean squared error {reconstruction_error():.5f} at 32x32, pixels 0..1")
    if chosen.sheet:
        write_sheet(pictures, chosen.sheet)


if __name__ == "__main__":
    main()
