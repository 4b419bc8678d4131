"""Training of the UNet and the text encoder together, on the autoencoder's latents.

    torchrun --nproc-per-node 2 -m denoisert.export.zoo.emoji.train --font TTF --work W --out MODEL

Goes on from its checkpoint in the work folder when the command is given again. Without torchrun one
process trains, with batches of half the size. Target of the network: v = alpha eps - sigma x0 at
x_t = alpha x0 + sigma eps. A tenth of the captions becomes the empty one, so that one network
serves both branches of guidance.

Source:
    Salimans, Ho 2022, arXiv 2202.00512, appendix D (v);
    Ho, Salimans 2022, arXiv 2207.12598, Algorithm 1 (caption dropout).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from denoisert.export.zoo.emoji import tokenizer
from denoisert.export.zoo.emoji.architecture import (
    MERGES,
    TOKENS,
    new_scheduler,
    new_text_encoder,
    new_unet,
)
from denoisert.export.zoo.emoji.autoencoder import encode, load_vae, render_views, to_unit
from denoisert.export.zoo.emoji.checkpoint import Pace, Training, generator_of, rank
from denoisert.export.zoo.emoji.data import load_glyphs
from denoisert.export.zoo.emoji.folder import save_folder

if TYPE_CHECKING:
    from denoisert.export.zoo.emoji.tokenizer import Vocabulary

PACE: Final = Pace(steps=3400, peak=1e-3, warmup=300, cooldown=0.25)

BATCH: Final = 24
"""Latents per update and rank, half of them of straight glyphs."""

VIEW_STRENGTH: Final = 0.5
"""Of the views that the UNet learns: up to 1 pixel, 3 % and 2.5 degrees."""

CAPTION_DROPOUT: Final = 0.1
"""Share of captions replaced by the empty one."""

NOISY_FROM: Final = 400
"""Train time from which on half of the times are drawn: there the text decides what is drawn."""

STEPS_PER_LINE: Final = 50
"""Steps between two printed losses."""


class Painter(nn.Module):
    """The text encoder and the UNet, trained as one.

    Attention is written out: torch's fused one goes backwards slowly on a CPU (a third of a step).

    Args:
        tokens: size of the vocabulary.
    """

    def __init__(self, tokens: int) -> None:
        from diffusers.models.attention_processor import AttnProcessor

        super().__init__()
        self.text_encoder = new_text_encoder(tokens)
        self.text_encoder.set_attn_implementation("eager")
        self.unet = new_unet()
        self.unet.set_attn_processor(AttnProcessor())

    def forward(self, x_t: Tensor, model_time: Tensor, ids: Tensor) -> Tensor:
        """The network's v.

        Args:
            x_t: noisy latents (B, 4, 16, 16).
            model_time: (B,) int64 in 0..999.
            ids: tokens of the captions (B, 16) int64.
        """
        text = self.text_encoder(ids).last_hidden_state
        v: Tensor = self.unet(x_t, model_time, text).sample
        return v


def caption_ids(vocabulary: Vocabulary) -> Tensor:
    """Padded tokens (glyphs + 1, 16) of every caption; the last row is the empty one."""
    captions = [glyph.caption for glyph in load_glyphs()]
    rows = [tokenizer.encode(caption, vocabulary, TOKENS) for caption in (*captions, "")]
    return torch.tensor(rows)


def v_loss(
    painter: Painter, x0: Tensor, ids: Tensor, alphas_bar: Tensor, generator: torch.Generator
) -> Tensor:
    """Mean squared error of v at random times, half of them in the noisier part.

    Args:
        painter: the network.
        x0: clean latents (B, 4, 16, 16).
        ids: tokens (B, 16).
        alphas_bar: alpha^2 at the 1000 times.
        generator: source of times and noise.
    """
    model_time = torch.randint(len(alphas_bar), (len(x0),), generator=generator)
    model_time[::2] = NOISY_FROM + model_time[::2] * (len(alphas_bar) - NOISY_FROM) // len(
        alphas_bar
    )
    eps = torch.randn(x0.shape, generator=generator)
    alpha = alphas_bar[model_time].sqrt()[:, None, None, None]
    sigma = (1 - alphas_bar[model_time]).sqrt()[:, None, None, None]
    with torch.autocast("cpu", torch.bfloat16):
        v = painter(alpha * x0 + sigma * eps, model_time, ids)
    return functional.mse_loss(v.float(), alpha * eps - sigma * x0)


def train_painter(
    latents: Tensor, vocabulary: Vocabulary, pace: Pace, checkpoint: Path, *, seed: int = 0
) -> Painter:
    """Train, or go on from the checkpoint, and return the moving average.

    Args:
        latents: (glyphs, views, 4, 16, 16), scaled; view 0 is straight.
        vocabulary: of the captions.
        pace: steps and learning rate.
        checkpoint: file to go on from and to write.
        seed: of weights, batches, times and noise.
    """
    torch.manual_seed(seed)
    training = Training(Painter(len(vocabulary.tokens)), pace, checkpoint)
    ids, alphas_bar = caption_ids(vocabulary), new_scheduler().alphas_cumprod
    start, losses = time.perf_counter(), []
    while training.step < pace.steps:
        generator = generator_of(seed, training.step)
        glyph, x0 = _batch(latents, generator)
        dropped = torch.rand(BATCH, generator=generator) < CAPTION_DROPOUT
        captions = ids[torch.where(dropped, len(ids) - 1, glyph)]
        loss = v_loss(training.network, x0, captions, alphas_bar, generator)
        training.update(loss)
        losses.append(loss.item())
        if training.step % STEPS_PER_LINE == 0:
            mean, spent = sum(losses) / len(losses), time.perf_counter() - start
            print(f"painter {training.step}/{pace.steps}: {mean:.4f}, {spent:.0f} s", flush=True)
            losses.clear()
    return training.average


def _batch(latents: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Glyph numbers (B,) and their latents, half of them straight."""
    glyph = torch.randint(len(latents), (BATCH,), generator=generator)
    view = torch.randint(1, latents.shape[1], (BATCH,), generator=generator)
    view[: BATCH // 2] = 0
    return glyph, latents[glyph, view]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the command line says and write the folder."""
    parser = argparse.ArgumentParser(description="Train the emoji UNet and text encoder.")
    parser.add_argument("--font", type=Path, required=True, help="NotoColorEmoji.ttf")
    parser.add_argument("--work", type=Path, required=True, help="folder that has vae/")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument("--steps", type=int, default=PACE.steps)
    chosen = parser.parse_args(arguments)
    if distributed.is_torchelastic_launched():
        torch.set_num_threads(1)
        distributed.init_process_group("gloo")
    vae = load_vae(chosen.work / "vae")
    vocabulary = tokenizer.learn((glyph.caption for glyph in load_glyphs()), MERGES)
    views = to_unit(render_views(chosen.font, seed=1, strength=VIEW_STRENGTH))
    latents = encode(vae, views.flatten(0, 1)).reshape(*views.shape[:2], 4, 16, 16)
    pace = replace(PACE, steps=chosen.steps)
    painter = train_painter(latents, vocabulary, pace, chosen.work / "painter.checkpoint")
    if rank() == 0:
        save_folder(
            chosen.out,
            vocabulary=vocabulary,
            text_encoder=painter.text_encoder,
            unet=painter.unet,
            vae=vae,
        )


if __name__ == "__main__":
    main()
