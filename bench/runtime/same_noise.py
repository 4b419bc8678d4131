"""Pictures of every class by each provider, all from the same noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from bench.optional import where
from bench.runtime import diffusers_loop, torch_loop
from denoisert.export.zoo.digits.model import DigitsDiT
from denoisert.kernels.philox import reference
from denoisert.runtime import CFG, Euler, Request, Runtime

Sample = Callable[[DigitsDiT, torch.Tensor, Sequence[int], int], torch.Tensor]

STEPS = 25
PIXELS = 256
FIRST_SEED = 7
LOOPS: dict[str, Sample] = {
    "torch": torch_loop.sample,
    **where("diffusers", lambda: {"diffusers": diffusers_loop.sample}),
}


def request(seed: int, label: int) -> Request:
    """What the loops compute, asked of our runtime."""
    return Request(label, seed=seed, steps=STEPS, solver=Euler(), guidance=CFG(torch_loop.GUIDANCE))


def same_noise_pictures(runtime: Runtime, network: DigitsDiT, count: int) -> dict[str, np.ndarray]:
    """Pictures of labels 0, 1, .., 9, 0, .. by every provider, from our noise.

    Args:
        runtime: with the digits bundle.
        network: the same network in torch.
        count: number of pictures.

    Returns:
        Provider -> (count, 1, 16, 16) float32.
    """
    labels = [number % 10 for number in range(count)]
    seeds = range(FIRST_SEED, FIRST_SEED + count)
    results = runtime.generate([request(*each) for each in zip(seeds, labels, strict=True)])
    drawn = [reference.normals(seed, draw=0, count=PIXELS) for seed in seeds]
    start = torch.from_numpy(np.stack(drawn).reshape(count, 1, 16, 16))
    loops = {name: loop(network, start, labels, STEPS).numpy() for name, loop in LOOPS.items()}
    ours = np.concatenate([result.latents["latent"] for result in results])
    return {"denoisert": ours, **loops}
