"""Training of the autoencoder: 64x64 pictures to 16x16x4 latents and back.

    python -m denoisert.export.zoo.emoji.autoencoder --font NotoColorEmoji.ttf --work FOLDER

Writes `vae/` (what the UNet's training and the model folder take over) and the two sheets of
`quality.py` into the work folder, and goes on from its checkpoint there when given again.

Loss: mean absolute error of the pixels and of their differences to the neighbours (sharp edges),
and a small Kullback-Leibler term that keeps the latents near a unit normal, so that the decoder
bears the small errors of a diffusion model.

Source:
    Rombach et al. 2022, arXiv 2112.10752, section 3.1 (latent space, KL regularisation).
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from denoisert.export.zoo.emoji.architecture import Vae, new_vae
from denoisert.export.zoo.emoji.checkpoint import Pace, Training, generator_of
from denoisert.export.zoo.emoji.data import crop, load_glyphs, random_view, render
from denoisert.export.zoo.emoji.quality import (
    ORIGINALS_FILE,
    THUMBNAILS_FILE,
    reduce,
    write_sheet,
)

PACE: Final = Pace(steps=1700, peak=1e-3)
"""Length and rate of the shipped run."""

VIEWS: Final = 12
"""Random views of every glyph, beside the straight one."""

BATCH: Final = 16
"""Pictures per update: half of them straight, half shifted, turned and flipped."""

KL_WEIGHT: Final = 5e-4
"""Weight of the mean divergence of a latent number from the unit normal, in nats."""

EDGE_WEIGHT: Final = 0.5
"""Weight of the error of the differences between neighbouring pixels."""

STEPS_PER_LINE: Final = 50
"""Steps between two printed losses."""


def render_views(font: Path, seed: int, strength: float = 1.0) -> Tensor:
    """Every glyph straight and in random views.

    Args:
        font: the file NotoColorEmoji.ttf.
        seed: of the views.
        strength: of shift, size and turn, see `random_view`.

    Returns:
        (glyphs, 1 + VIEWS, 3, 64, 64) uint8; view 0 is straight.
    """
    generator = np.random.default_rng(seed)
    pictures = []
    for glyph in load_glyphs():
        canvas = render(glyph.code, font)
        views = [crop(canvas, random_view(generator, strength)) for _ in range(VIEWS)]
        pictures.append(np.stack([crop(canvas), *views]))
    return torch.from_numpy(np.stack(pictures)).permute(0, 1, 4, 2, 3).contiguous()


def save_vae(vae: Vae, folder: Path) -> Path:
    """Write the autoencoder in float16, as the model folder holds it; return the folder."""
    copy.deepcopy(vae).half().save_pretrained(folder, safe_serialization=True)
    return folder


def load_vae(folder: Path) -> Vae:
    """Read what `save_vae` wrote, in float32, for inference: the weights are the rounded ones."""
    import diffusers

    network: Any = diffusers.AutoencoderKL
    return network.from_pretrained(folder).float().eval().requires_grad_(False)


def write_sheets(vae: Vae, glyphs: Tensor, folder: Path) -> None:
    """Write the sheets of `quality.py`: the glyphs, and what the autoencoder makes of them.

    Args:
        vae: from `load_vae`.
        glyphs: (glyphs, 3, 64, 64) uint8, straight.
        folder: gets `glyphs.png` and `thumbnails.png`.
    """
    back = to_bytes(decode(vae, encode(vae, to_unit(glyphs))))
    thumbnails = reduce(back).round().astype(np.uint8)
    write_sheet(glyphs.permute(0, 2, 3, 1).contiguous().numpy(), folder / ORIGINALS_FILE.name)
    write_sheet(thumbnails, folder / THUMBNAILS_FILE.name)


def to_bytes(pictures: Tensor) -> NDArray[np.uint8]:
    """Pictures (B, 3, 64, 64) in [-1, 1] as (B, 64, 64, 3) uint8."""
    values = ((pictures + 1) * 127.5).round().byte()
    return values.permute(0, 2, 3, 1).contiguous().numpy()


def to_unit(pictures: Tensor) -> Tensor:
    """Pictures of 0..255 as float32 in [-1, 1]."""
    return pictures.float() / 127.5 - 1


def train_vae(views: Tensor, pace: Pace, checkpoint: Path, *, seed: int = 0) -> Vae:
    """Train, or go on from the checkpoint, and return the moving average.

    Args:
        views: from `render_views`.
        pace: steps and learning rate.
        checkpoint: file to go on from and to write.
        seed: of weights and batches.
    """
    torch.manual_seed(seed)
    training = Training(new_vae(), pace, checkpoint)
    start, losses = time.perf_counter(), []
    while training.step < pace.steps:
        generator = generator_of(seed, training.step)
        loss = vae_loss(training.network, _batch(views, generator), generator)
        training.update(loss)
        losses.append(loss.item())
        if training.step % STEPS_PER_LINE == 0:
            mean, spent = sum(losses) / len(losses), time.perf_counter() - start
            print(f"vae {training.step}/{pace.steps}: {mean:.4f}, {spent:.0f} s", flush=True)
            losses.clear()
    return training.average


def vae_loss(vae: Vae, pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Reconstruction, edges and divergence.

    Args:
        vae: the autoencoder.
        pictures: (B, 3, 64, 64) in [-1, 1].
        generator: source of the latent noise.
    """
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(pictures).latent_dist
        decoded = vae.decode(posterior.sample(generator)).sample.float()
    pixels = functional.l1_loss(decoded, pictures) + functional.mse_loss(decoded, pictures)
    edges = sum(
        functional.l1_loss(decoded.diff(dim=dim), pictures.diff(dim=dim)) for dim in (-1, -2)
    )
    divergence = posterior.kl().float().mean() / posterior.mean[0].numel()
    loss: Tensor = pixels + EDGE_WEIGHT * edges + KL_WEIGHT * divergence
    return loss


@torch.no_grad()
def normalise(vae: Vae, pictures: Tensor) -> Vae:
    """The same autoencoder with latents of mean 0 and deviation 1 in every channel.

    The shift and the scale move into the 1x1 convolutions on both sides of the latents. Pipelines
    know a scaling factor only; a mean other than 0 would be missing from the first noise.

    Args:
        vae: changed in place.
        pictures: (B, 3, 64, 64) in [-1, 1], over which mean and deviation are taken.
    """
    latents = encode(vae, pictures)
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    weight, bias = vae.quant_conv.weight, vae.quant_conv.bias
    channels = len(mean)
    weight[:channels] /= deviation[:, None, None, None]
    bias[:channels] = (bias[:channels] - mean) / deviation
    bias[channels:] -= 2 * deviation.log()
    back = vae.post_quant_conv
    back.bias += back.weight[:, :, 0, 0] @ mean
    back.weight *= deviation[None, :, None, None]
    return vae


@torch.no_grad()
def encode(vae: Vae, pictures: Tensor) -> Tensor:
    """Means of the latents (B, 4, 16, 16), not scaled, of pictures (B, 3, 64, 64) in [-1, 1]."""
    return torch.cat([vae.encode(part).latent_dist.mean for part in torch.split(pictures, 64)])


@torch.no_grad()
def decode(vae: Vae, latents: Tensor) -> Tensor:
    """Pictures (B, 3, 64, 64), clipped to [-1, 1], of latents that are not scaled."""
    return torch.cat([vae.decode(part).sample for part in torch.split(latents, 64)]).clamp(-1, 1)


def _batch(views: Tensor, generator: torch.Generator) -> Tensor:
    """Half straight pictures, half random views, half of these mirrored."""
    glyph = torch.randint(len(views), (BATCH,), generator=generator)
    view = torch.randint(1, views.shape[1], (BATCH,), generator=generator)
    view[: BATCH // 2] = 0
    pictures = to_unit(views[glyph, view])
    pictures[-BATCH // 4 :] = pictures[-BATCH // 4 :].flip(-1)
    return pictures


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the command line says; write the autoencoder and the sheets."""
    parser = argparse.ArgumentParser(description="Train the emoji autoencoder.")
    parser.add_argument("--font", type=Path, required=True, help="NotoColorEmoji.ttf")
    parser.add_argument("--work", type=Path, required=True, help="folder of the results")
    parser.add_argument("--steps", type=int, default=PACE.steps)
    chosen = parser.parse_args(arguments)
    views = render_views(chosen.font, seed=0)
    pace = replace(PACE, steps=chosen.steps)
    trained = train_vae(views, pace, chosen.work / "vae.checkpoint")
    straight = views[:, 0]
    vae = load_vae(save_vae(normalise(trained, to_unit(straight)), chosen.work / "vae"))
    write_sheets(vae, straight, chosen.work)


if __name__ == "__main__":
    main()
