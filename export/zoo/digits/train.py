"""Training of the yardstick, on one core in under six minutes.

    python -m denoisert.export.zoo.digits.train --out FOLDER

Rectified flow: x_t = (1 - t) x0 + t eps, target eps - x0, t = sigmoid of a standard normal. A tenth
of the labels becomes the null class, so that one network serves both branches of guidance. The file
holds the moving average of the weights (EMA).

Source:
    Liu et al. 2022, arXiv 2209.03003 (rectified flow);
    Esser et al. 2024, arXiv 2403.03206, section 3.1 (logit-normal times);
    Ho, Salimans 2022, arXiv 2207.12598, Algorithm 1 (label dropout).
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from denoisert.export.zoo.digits.data import split_digits
from denoisert.export.zoo.digits.model import DigitsDiT
from denoisert.runtime.errors import InvalidInput

LOSSES_PER_LINE: Final = 100
"""Steps between two printed losses."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training run depends on.

    Args:
        steps: updates of the weights, at least 1.
        seed: of weights, batches, times, noise and dropped labels.
        batch: pictures per update.
        learning_rate: peak; rises over `warmup` steps, then falls to zero as a cosine.
        warmup: steps.
        label_dropout: share of labels replaced by the null class, in [0, 1].
        ema_decay: of the moving average, in [0, 1); smaller in the first steps.
    """

    steps: int = 2200
    seed: int = 0
    batch: int = 64
    learning_rate: float = 1e-3
    warmup: int = 100
    label_dropout: float = 0.1
    ema_decay: float = 0.995

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InvalidInput(f"asked for {self.steps} training steps; ask for at least 1.")

    def learning_rate_at(self, step: int) -> float:
        """The rate of update number `step`, counted from 0."""
        rise = min(1.0, (step + 1) / self.warmup)
        return self.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / self.steps))

    def ema_decay_at(self, step: int) -> float:
        """The decay after update `step`: (1 + step) / (10 + step), at most `ema_decay`."""
        return min(self.ema_decay, (1 + step) / (10 + step))


def train(recipe: Recipe) -> DigitsDiT:
    """Train a network on one thread and return the moving average of its weights.

    Equal recipes give equal weights on one machine; torch.set_num_threads is restored afterwards.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _train(recipe)
    finally:
        torch.set_num_threads(threads)


def velocity_loss(
    model: DigitsDiT, x0: Tensor, label: Tensor, *, dropout: float, generator: torch.Generator
) -> Tensor:
    """Mean squared error of the velocity at random times.

    Args:
        model: the network.
        x0: clean pictures (B, 1, 16, 16) in [-1, 1].
        label: (B,) int64.
        dropout: share of labels replaced by the null class.
        generator: source of times, noise and dropped labels.
    """
    t = torch.sigmoid(torch.randn(len(x0), generator=generator))
    eps = torch.randn(x0.shape, generator=generator)
    dropped = torch.rand(len(x0), generator=generator) < dropout
    label = torch.where(dropped, model.config.null_label, label)
    weight = t[:, None, None, None]
    return functional.mse_loss(model((1 - weight) * x0 + weight * eps, t, label), eps - x0)


@torch.no_grad()
def follow(average: DigitsDiT, model: DigitsDiT, decay: float) -> None:
    """Move the average towards the model in place: average = decay average + (1 - decay) model."""
    for follower, leader in zip(average.parameters(), model.parameters(), strict=True):
        follower.lerp_(leader, 1 - decay)


def save_weights(model: DigitsDiT, folder: Path) -> Path:
    """Write `weights.safetensors` into a folder at once: a reader sees the old file or the new."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "weights.safetensors"
    partial = folder / f".weights.{os.getpid()}.partial"
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    try:
        save_file(tensors, partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the command line says and write the weights."""
    recipe = Recipe()
    parser = argparse.ArgumentParser(description="Train the digits yardstick on one core.")
    parser.add_argument("--out", type=Path, required=True, help="folder of weights.safetensors")
    parser.add_argument("--steps", type=int, default=recipe.steps)
    parser.add_argument("--seed", type=int, default=recipe.seed)
    chosen = parser.parse_args(arguments)
    start = time.perf_counter()
    model = train(replace(recipe, steps=chosen.steps, seed=chosen.seed))
    path = save_weights(model, chosen.out)
    print(f"{path.name}: {path.stat().st_size} bytes, {time.perf_counter() - start:.0f} s")


def _train(recipe: Recipe) -> DigitsDiT:
    torch.manual_seed(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    model = DigitsDiT()
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01, betas=(0.9, 0.99))
    losses: list[float] = []
    for step, (x0, label) in zip(range(recipe.steps), _batches(recipe, generator), strict=False):
        loss = velocity_loss(model, x0, label, dropout=recipe.label_dropout, generator=generator)
        optimizer.param_groups[0]["lr"] = recipe.learning_rate_at(step)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        follow(average, model, recipe.ema_decay_at(step))
        losses.append(loss.item())
        if len(losses) == LOSSES_PER_LINE or step + 1 == recipe.steps:
            mean = sum(losses) / len(losses)
            print(f"step {step + 1}/{recipe.steps}: mean loss {mean:.4f}", flush=True)
            losses.clear()
    return average


def _batches(recipe: Recipe, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of training pictures, each epoch in a new order."""
    digits, _ = split_digits()
    images, labels = torch.from_numpy(digits.images), torch.from_numpy(digits.labels)
    while True:
        order = torch.randperm(len(labels), generator=generator)
        for first in range(0, len(order) - recipe.batch + 1, recipe.batch):
            chosen = order[first : first + recipe.batch]
            yield images[chosen], labels[chosen]


if __name__ == "__main__":
    main()
