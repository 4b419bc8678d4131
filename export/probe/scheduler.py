"""A scheduler written for diffusers as a source: set_timesteps, scale_model_input, step.

Where its stages lie is asked of the scheduler itself: the clean estimate it returns, the noise it
would add, or its list of noise levels, in this order.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from denoisert.export.probe.convention import Convention, Scheduler, convention
from denoisert.export.probe.foreign import FOREIGN_ERRORS
from denoisert.export.probe.linearity import Latent
from denoisert.export.probe.source import Marks, Network
from denoisert.runtime.errors import DenoiseRTError, ExportError
from denoisert.runtime.sampling.grid import Point

Time = Any  # a number or a tensor of one
Level = tuple[float, float]
Array = NDArray[np.float64]
Levels = Callable[[Scheduler, float], Level]


class _Stage(NamedTuple):
    """One evaluation as the loop saw it, for the marks; latents are kept as they were traced."""

    time: float
    x: torch.Tensor
    scaled: torch.Tensor
    output: torch.Tensor
    clean: torch.Tensor | None
    level: Level | None
    ends: int


@dataclass(slots=True)
class SchedulerSource:
    """A scheduler of diffusers' kind.

    Args:
        build: makes the scheduler anew, with its timesteps set; called once per run.
        options: further arguments of `step`, as eta.
        levels: (scheduler, time) -> (alpha, sigma) of its latent, where it does not say so itself.
        convention: what it takes the network's output for, by default as its configuration says.
        prepare: changes a new scheduler before it runs.
    """

    build: Callable[[], Scheduler]
    options: Mapping[str, Any] = field(default_factory=dict)
    levels: Levels | None = None
    convention: Convention | None = None
    prepare: Callable[[Scheduler], object] | None = None
    _stages: list[_Stage] = field(default_factory=list, init=False, repr=False)
    _meaning: Convention | None = field(default=None, init=False, repr=False)
    _name: str = field(default="", init=False, repr=False)

    @property
    def name(self) -> str:
        """The scheduler's class."""
        return self._name or type(self.made()).__name__

    def made(self) -> Scheduler:
        """A new scheduler.

        Raises:
            ExportError: its constructor or its timesteps failed.
        """
        try:
            return self.build()
        except DenoiseRTError:
            raise
        except FOREIGN_ERRORS as error:
            raise ExportError(
                f"the scheduler could not be made: {type(error).__name__}: {error}. Give the "
                "arguments that it needs."
            ) from error

    def run(self, network: Network, start: torch.Tensor) -> torch.Tensor:
        """diffusers' own loop; a start is multiplied by init_noise_sigma."""
        scheduler = self.build()
        if self.prepare is not None:
            self.prepare(scheduler)
        self._name = type(scheduler).__name__
        self._meaning = self.convention or convention(scheduler)
        if isinstance(start, Latent):
            self._stages.clear()
        x = start * float(getattr(scheduler, "init_noise_sigma", 1.0))
        for index in range(len(scheduler.timesteps)):
            x = self._stage(scheduler, network, x, index)
        return x

    def _stage(
        self, scheduler: Scheduler, network: Network, x: torch.Tensor, index: int
    ) -> torch.Tensor:
        time = scheduler.timesteps[index]
        scales = getattr(scheduler, "scale_model_input", None)
        scaled = scales(x, time) if scales else x
        output = network(scaled, float(time))
        level = self._level(scheduler, time) if isinstance(x, Latent) else None
        answer = scheduler.step(output, time, x, **self._next(scheduler, index), **self.options)
        after: torch.Tensor = answer.prev_sample if hasattr(answer, "prev_sample") else answer[0]
        if isinstance(x, Latent):
            clean = getattr(answer, "pred_original_sample", None)
            ends = self._ends(scheduler, index)
            self._stages.append(_Stage(float(time), x, scaled, output, clean, level, ends))
        return after

    def _next(self, scheduler: Scheduler, index: int) -> dict[str, Time]:
        """The time that the step leads to, for a scheduler that wants to be told."""
        if "prev_timestep" not in inspect.signature(scheduler.step).parameters:
            return {}
        following = scheduler.timesteps[index + 1 :]
        return {"prev_timestep": following[0] if len(following) else None}

    def _ends(self, scheduler: Scheduler, index: int) -> int:
        """Steps that are done with this stage; evenly many where the scheduler does not say."""
        stages = len(scheduler.timesteps)
        if hasattr(scheduler, "state_in_first_order"):
            return int(scheduler.state_in_first_order or index == stages - 1)
        steps = min(stages, int(getattr(scheduler, "num_inference_steps", None) or stages))
        return (index + 1) * steps // stages - index * steps // stages

    @property
    def meaning(self) -> Convention:
        """What the scheduler takes the network's output for.

        Raises:
            ExportError: before the first run.
        """
        if self._meaning is None:
            raise ExportError(f"{self.name} has not run yet.")
        return self._meaning

    def marks(self) -> tuple[Marks, ...]:
        """Every stage of the traced run; the latent at the end is what the scheduler returns."""
        return tuple(self._mark(stage) for stage in self._stages)

    def _mark(self, stage: _Stage) -> Marks:
        pair = _shares(stage)
        solved = None if pair is None else self.meaning.solve(*pair)
        level = stage.level if solved is None else solved
        if level is None:
            raise ExportError(
                f"{self.name} does not say where its network is asked at time {stage.time:g}: it "
                "returns no pred_original_sample and has neither add_noise nor scale_noise. Give "
                "`levels`, a function (scheduler, time) -> (alpha, sigma) of its latent."
            )
        scale = 1.0 if solved is not None else _ratio(stage)
        alpha, sigma = scale * level[0] * self.meaning.unit, scale * level[1]
        return Marks(Point(alpha, sigma, stage.time), stage.ends)

    def _level(self, scheduler: Scheduler, time: Time) -> Level | None:
        """(alpha, sigma) of the scheduler's own latent where it steps from `time`."""
        if self.levels is not None:
            return self.levels(scheduler, float(time))
        try:
            return _noised(scheduler, time) or _listed(scheduler, time)
        except FOREIGN_ERRORS:
            return None  # only a mark is missing; if it is needed, `_mark` says what to give


def _noised(scheduler: Scheduler, time: Time) -> Level | None:
    """The level that the scheduler would noise a clean latent to."""
    clean = torch.tensor([1.0, 0.0], dtype=torch.float64).reshape(1, 1, 1, 2)
    noise = clean.flip(-1)
    if hasattr(scheduler, "add_noise"):
        noisy = scheduler.add_noise(clean, noise, time.reshape(1))
    elif hasattr(scheduler, "scale_noise"):
        noisy = scheduler.scale_noise(clean, time.reshape(1), noise)
    else:
        return None
    return float(noisy[..., 0]), float(noisy[..., 1])


def _listed(scheduler: Scheduler, time: Time) -> Level | None:
    """The level in a scheduler's own list, for flows."""
    sigmas = getattr(scheduler, "sigmas", None)
    at = np.flatnonzero(np.asarray(scheduler.timesteps) == float(time))
    if sigmas is None or not convention(scheduler).is_flow or not at.size:
        return None
    sigma = float(sigmas[int(at[0])])
    return 1.0 - sigma, sigma


def _flat(tensor: torch.Tensor) -> Array:
    array: Array = tensor.as_subclass(torch.Tensor).detach().reshape(-1).numpy()
    return array


def _ratio(stage: _Stage) -> float:
    """The factor of scale_model_input."""
    over, under = _flat(stage.scaled), _flat(stage.x)
    return float(over @ under / (under @ under))


def _shares(stage: _Stage) -> Level | None:
    """(p, q) of the clean estimate p input + q output; None if it is something else."""
    if not isinstance(stage.clean, Latent):
        return None
    columns = np.stack([_flat(stage.scaled), _flat(stage.output)], axis=1)
    wanted = _flat(stage.clean)
    pair = np.linalg.lstsq(columns, wanted, rcond=None)[0]
    if np.abs(columns @ pair - wanted).max() > 1e-12 * np.abs(wanted).max():
        return None
    return float(pair[0]), float(pair[1])
