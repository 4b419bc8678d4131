"""Training that survives being killed: everything a run needs to go on, written at once."""

from __future__ import annotations

import copy
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import torch
from torch import distributed, nn

Network = TypeVar("Network", bound=nn.Module)

SECONDS_BETWEEN: Final = 120.0
"""Time between two checkpoints."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Learning rate and averaging of a run of known length.

    Args:
        steps: updates of the weights, at least 1.
        peak: learning rate after `warmup` steps.
        warmup: steps.
        cooldown: share of the steps, at the end, in which the rate falls to zero as a cosine.
        ema_decay: of the moving average, in [0, 1); smaller in the first steps.
    """

    steps: int
    peak: float
    warmup: int = 100
    cooldown: float = 1.0
    ema_decay: float = 0.999

    def learning_rate_at(self, step: int) -> float:
        """The rate of update number `step`, counted from 0."""
        rise = min(1.0, (step + 1) / self.warmup)
        fall = max(0.0, 1 - (1 - min(1.0, step / self.steps)) / self.cooldown)
        return self.peak * rise * 0.5 * (1 + math.cos(math.pi * fall))

    def ema_decay_at(self, step: int) -> float:
        """The decay after update `step`: (1 + step) / (10 + step), at most `ema_decay`."""
        return min(self.ema_decay, (1 + step) / (10 + step))


class Training(Generic[Network]):
    """A network, its moving average and its AdamW, at a step.

    Args:
        network: trained in place.
        pace: learning rate and averaging.
        path: file of the checkpoint; read if it exists.
    """

    def __init__(self, network: Network, pace: Pace, path: Path) -> None:
        self.network = network
        self.average = copy.deepcopy(network).requires_grad_(False).eval()
        self.pace = pace
        self.path = path
        self.step = 0
        self._optimizer = torch.optim.AdamW(
            network.parameters(), betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self._written = time.monotonic()
        if path.exists():
            self._read()

    def update(self, loss: torch.Tensor) -> None:
        """One step of AdamW on a loss; the average follows; a checkpoint when it is time."""
        self._optimizer.param_groups[0]["lr"] = self.pace.learning_rate_at(self.step)
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        average_gradients(self.network)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self._follow(self.pace.ema_decay_at(self.step))
        self.step += 1
        due = time.monotonic() - self._written > SECONDS_BETWEEN or self.step >= self.pace.steps
        if due and rank() == 0:
            self.write()

    def write(self) -> None:
        """Write the checkpoint at once: a reader sees the old file or the new."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
        }
        torch.save(state, partial)
        os.replace(partial, self.path)
        self._written = time.monotonic()

    def _read(self) -> None:
        state = torch.load(self.path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        followers: list[torch.Tensor] = list(self.average.parameters())
        leaders: list[torch.Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(followers, leaders, 1 - decay)


def generator_of(seed: int, step: int) -> torch.Generator:
    """The random numbers of one step and rank: a resumed run draws what an unbroken one draws."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step * world_size() + rank())


def rank() -> int:
    """Number of this process in the run; 0 where it trains alone."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def average_gradients(network: nn.Module) -> None:
    """Replace every gradient by its mean over the ranks, in one exchange."""
    if world_size() == 1:
        return
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    parts = torch.split(flat / world_size(), [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
