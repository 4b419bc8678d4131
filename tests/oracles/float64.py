"""The installed diffusers schedulers in float64: their own source, with float32 replaced.

diffusers rounds its coefficients and latents to float32 inside `step`, so a comparison at 1e-12
needs another form of the same code. The source is read from the installed package and executed as
a module of another name; nothing is copied.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

PACKAGE = "diffusers.schedulers"
REPLACED = (
    (re.compile(r"\b(torch|np)\.float32\b"), r"\1.float64"),
    (re.compile(r"\.float\(\)"), ".double()"),
    (re.compile(r"\btorch\.tensor\(1\.0\)"), "torch.tensor(1.0, dtype=torch.float64)"),
    (re.compile(r"\btorch\.zeros\(1,"), "torch.zeros(1, dtype=torch.float64,"),
)


def double(source: str) -> str:
    """The source with every float32 replaced by float64."""
    for pattern, replacement in REPLACED:
        source = pattern.sub(replacement, source)
    return source


@functools.cache
def module(name: str) -> ModuleType:
    """`diffusers.schedulers.scheduling_<name>` in float64."""
    spec = importlib.util.find_spec(f"{PACKAGE}.scheduling_{name}")
    path = Path(spec.origin)
    made = ModuleType(f"{PACKAGE}.float64_{name}")  # under diffusers, for the warning filters
    made.__package__ = PACKAGE  # its relative imports
    made.__file__ = str(path)
    sys.modules[made.__name__] = made
    exec(compile(double(path.read_text()), str(path), "exec"), made.__dict__)
    return made


class Noises:
    """Stands in for diffusers' `randn_tensor`: hands out given draws in order."""

    def __init__(self, draws: list[np.ndarray]) -> None:
        self.left = [torch.from_numpy(draw) for draw in draws]

    def __call__(self, shape: torch.Size, **_: object) -> torch.Tensor:
        return self.left.pop(0).reshape(shape)


def sample(
    scheduler: object,
    network: Callable[[np.ndarray, float], np.ndarray],
    start: np.ndarray,
    **step: object,
) -> np.ndarray:
    """diffusers' own loop: scale the input, ask the network, step.

    Args:
        scheduler: with its timesteps set.
        network: raw output for a latent and a model time, both in float64.
        start: first latent in the scheduler's coordinates.
        step: further arguments of `step`; a list under `variance_noise` gives each step one item.
    """
    x = torch.from_numpy(start)
    noises = list(step.pop("variance_noise", []))
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        output = torch.from_numpy(network(scaled.numpy(), float(t)))
        extra = {"variance_noise": torch.from_numpy(noises.pop(0))} if noises else {}
        x = scheduler.step(output, t, x, **step, **extra).prev_sample
    assert x.dtype == torch.float64
    return x.numpy()
