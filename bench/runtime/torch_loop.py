"""The competitor: the digits network in eager torch with a guided Euler loop written by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from denoisert.export.zoo.digits import model as digits

GUIDANCE = 2.0
FOLDER = Path(digits.__file__).parent


def load(threads: int) -> digits.DigitsDiT:
    """The network with its weights, on that many threads."""
    from safetensors.torch import load_file

    torch.set_num_threads(threads)
    config = json.loads((FOLDER / "config.json").read_bytes())["config"]
    network = digits.DigitsDiT.from_config(config)
    network.load_state_dict(load_file(FOLDER / "weights.safetensors"))
    return network.eval()


def noise(images: int, seed: int = 0) -> Tensor:
    """Start latents (images, 1, 16, 16)."""
    return torch.randn(images, 1, 16, 16, generator=torch.Generator().manual_seed(seed))


def both_labels(network: digits.DigitsDiT, labels: Sequence[int]) -> Tensor:
    """Labels of the cond branch, then the null label for the uncond branch."""
    return torch.tensor([*labels, *[network.config.null_label] * len(labels)])


def guided(network: digits.DigitsDiT, x_t: Tensor, time: Tensor, labels: Tensor) -> Tensor:
    """The guided velocity, both branches in one batch."""
    both = network(torch.cat((x_t, x_t)), time.expand(len(labels)), labels)
    cond, uncond = both.chunk(2)
    return uncond + GUIDANCE * (cond - uncond)


@torch.inference_mode()
def sample(network: digits.DigitsDiT, x_t: Tensor, labels: Sequence[int], steps: int) -> Tensor:
    """Pictures (B, 1, 16, 16) from noise x_t by Euler's rule on t = 1, 1 - 1/steps, .., 0.

    Args:
        network: predicts the velocity.
        x_t: (B, 1, 16, 16) noise.
        labels: B classes.
        steps: number of steps.

    Returns:
        The pictures, about -1 .. 1.
    """
    both, times = both_labels(network, labels), torch.linspace(1.0, 0.0, steps + 1)
    for t, s in pairwise(times):
        x_t = x_t + (s - t) * guided(network, x_t, t, both)
    return x_t
