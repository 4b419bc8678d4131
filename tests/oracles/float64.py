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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

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
    made.randn_tensor = _given
    return made


def _given(shape: torch.Size, *, generator: Noises, **_: object) -> torch.Tensor:
    """diffusers' `randn_tensor`, whose generator is a list of draws instead."""
    return generator.next(shape)


class Noises:
    """Given draws in order, to be passed to `step` as its generator."""

    def __init__(self, draws: list[np.ndarray]) -> None:
        self.left = [torch.from_numpy(draw) for draw in draws]

    def next(self, shape: torch.Size) -> torch.Tensor:
        """The next draw."""
        return self.left.pop(0).reshape(shape)


@contextmanager
def double_defaults() -> Iterator[None]:
    """A whole time times a number is a tensor of torch's default dtype, which rounds in float32."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Stage(NamedTuple):
    """One evaluation inside diffusers' loop: its time, the state before it, what the network said.

    after: the scheduler's answer. ends_step: whether a step of the grid is complete with it.
    """

    time: float
    before: np.ndarray
    output: np.ndarray
    after: object
    ends_step: bool


def stages(
    scheduler: object,
    network: Callable[[np.ndarray, float], np.ndarray],
    start: np.ndarray,
    **step: object,
) -> Iterator[Stage]:
    """diffusers' own loop: scale the input, ask the network, step.

    Args:
        scheduler: with its timesteps set.
        network: raw output for a latent and a model time, both in float64.
        start: first latent in the scheduler's coordinates.
        step: further arguments of `step`; a list under `variance_noise` gives each step one item.
    """
    x = torch.from_numpy(start)
    noises = list(step.pop("variance_noise", []))
    last = len(scheduler.timesteps) - 1
    for index, t in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        output = torch.from_numpy(network(scaled.numpy(), float(t)))
        extra = {"variance_noise": torch.from_numpy(noises.pop(0))} if noises else {}
        with double_defaults():
            after = scheduler.step(output, t, x, **step, **extra)
        ends = getattr(scheduler, "state_in_first_order", True) or index == last
        yield Stage(float(t), x.numpy(), output.numpy(), after, ends)
        x = after.prev_sample
    assert x.dtype == torch.float64


def sample(
    scheduler: object,
    network: Callable[[np.ndarray, float], np.ndarray],
    start: np.ndarray,
    **step: object,
) -> np.ndarray:
    """What the loop of `stages` ends in."""
    *_, last = stages(scheduler, network, start, **step)
    return last.after.prev_sample.numpy()


def clean(scheduler: object, stage: Stage) -> np.ndarray:
    """The clean estimate of the stage that has just run, as the scheduler itself has it."""
    if hasattr(stage.after, "pred_original_sample"):
        return stage.after.pred_original_sample.numpy()
    if hasattr(scheduler, "model_outputs"):
        return scheduler.model_outputs[-1].numpy()  # a DPM solver keeps them converted
    return stage.before - stage.time / 1000 * stage.output  # flow: x = (1 - t) x0 + t eps
