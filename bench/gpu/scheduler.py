"""A scheduler's step with guidance in plain torch, as a pipeline of diffusers runs it.

Latents keep the dtype of the network between steps; the step itself is what `bench.loop.schedulers`
does at its middle, every time the same one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bench.gpu.memory import Launch
from bench.loop import schedulers

STEPS, MIDDLE = 32, 16
SCALE = 4.0


def euler(device: str, elements: int, slots: int, dtype: str = "float16") -> Launch:
    """EulerDiscreteScheduler."""
    return _launch(schedulers.Euler(STEPS, device), device, (slots, elements), dtype)


def ancestral(device: str, elements: int, slots: int, dtype: str = "float16") -> Launch:
    """EulerAncestralDiscreteScheduler."""
    return _launch(schedulers.EulerAncestral(STEPS, device), device, (slots, elements), dtype)


def multistep(device: str, elements: int, slots: int, dtype: str = "float16") -> Launch:
    """DPMSolverMultistepScheduler."""
    scheduler = schedulers.DPMpp2M(STEPS, device)
    kind: torch.dtype = getattr(torch, dtype)
    clean = [torch.randn(slots, elements, device=device).to(kind)]

    def forget() -> None:
        scheduler.clean = clean

    return _launch(scheduler, device, (slots, elements), dtype, forget)


def _launch(
    scheduler: schedulers.Counting,
    device: str,
    shape: tuple[int, int],
    dtype: str,
    forget: Callable[[], None] = lambda: None,
) -> Launch:
    kind: torch.dtype = getattr(torch, dtype)
    latents = torch.randn(shape, device=device).to(kind)
    predicted = torch.randn(2 * shape[0], shape[1], device=device).to(kind)
    time = scheduler.timesteps[MIDDLE]

    def run() -> tuple[Tensor, Tensor]:
        forget()
        scheduler.index = MIDDLE
        uncond, cond = predicted.chunk(2)
        noise = uncond + SCALE * (cond - uncond)
        after = scheduler.step(noise, time, latents)
        return after, scheduler.scaled(torch.cat((after, after)))

    return Launch(run)
