"""The competitor with diffusers' FlowMatchEulerDiscreteScheduler in its usual loop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.runtime.torch_loop import both_labels, guided
from denoisert.export.zoo.digits.model import DigitsDiT

TRAIN_STEPS = 1000


@torch.inference_mode()
def sample(network: DigitsDiT, x_t: Tensor, labels: Sequence[int], steps: int) -> Tensor:
    """Pictures (B, 1, 16, 16) from noise x_t, on the same times as the plain loop.

    Args:
        network: predicts the velocity.
        x_t: (B, 1, 16, 16) noise.
        labels: B classes.
        steps: number of steps.

    Returns:
        The pictures, about -1 .. 1.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=TRAIN_STEPS, shift=1.0)
    scheduler.set_timesteps(sigmas=[1.0 - step / steps for step in range(steps)])
    both = both_labels(network, labels)
    for time in scheduler.timesteps:
        velocity = guided(network, x_t, time / TRAIN_STEPS, both)
        x_t = scheduler.step(velocity, time, x_t).prev_sample
    return x_t
