"""A sampler in k-diffusion's calling convention as a source.

    sample(model, x, sigmas, extra_args=..., callback=..., disable=..., **options)

with model(x, sigma * ones) -> denoised, x = x0 + sigma eps and sigmas falling, often to 0. Noise
comes from torch.randn_like, or from a `noise_sampler(sigma, sigma_next)` if it takes one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from denoisert.export.probe.convention import Convention
from denoisert.export.probe.source import Marks, Network
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.grid import Point
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import NoiseSchedule

Argument = Any

OWN = ("extra_args", "callback", "disable", "noise_sampler")


@dataclass(slots=True)
class FunctionSource:
    """A sampling function with its sigmas.

    Args:
        sample: the function.
        sigmas: noise levels sigma_ve of the run, falling.
        options: further keyword arguments.
        schedule: of the network that will be asked, which fixes its coordinates and times; None
            means x as the function has it and sigma as the time.
    """

    sample: Callable[..., torch.Tensor]
    sigmas: Sequence[float]
    options: Mapping[str, Any] = field(default_factory=dict)
    schedule: NoiseSchedule | None = None
    _levels: list[float] = field(default_factory=list, init=False, repr=False)
    _steps: list[int] = field(default_factory=list, init=False, repr=False)

    def check_falling(self) -> None:
        """Refuse levels that lead nowhere.

        Raises:
            InvalidInput: fewer than two, infinite, negative, or a level not below the one before.
        """
        levels = np.asarray(self.sigmas, np.float64)
        is_falling = len(levels) > 1 and np.isfinite(levels).all() and np.all(np.diff(levels) < 0)
        if not (is_falling and levels[-1] >= 0.0):
            raise InvalidInput(
                f"sigmas {[float(f'{level:.6g}') for level in levels]} have to fall from step to "
                "step: at least two, finite, the last of them 0 or more, such as 14.6, 3, 0.5, 0."
            )

    @property
    def name(self) -> str:
        """The function's name."""
        return str(getattr(self.sample, "__name__", type(self.sample).__name__))

    @property
    def meaning(self) -> Convention:
        """The model of such a function answers with the clean latent."""
        return Convention(Parametrisation.X0)

    def run(self, network: Network, start: torch.Tensor) -> torch.Tensor:
        """Call the function from x = sigma_0 noise."""
        self._levels.clear()
        self._steps.clear()

        def model(x: torch.Tensor, sigma: Argument, **_: Argument) -> torch.Tensor:
            level = float(torch.as_tensor(sigma).reshape(-1)[0])
            self._levels.append(level)
            scale = self._point(level).alpha
            return network(x if scale == 1.0 else scale * x, self._point(level).model_time)

        sigmas = torch.as_tensor(np.asarray(self.sigmas, np.float64))
        return self.sample(
            model, start * sigmas[0], sigmas, **self._own(start.shape), **self.options
        )

    def marks(self) -> tuple[Marks, ...]:
        """Every stage; a step ends where the function calls back next, or evenly."""
        count = len(self._levels)
        if self._steps:
            firsts = [max(0, calls - 1) for calls in self._steps[1:]] + [count]
        else:
            steps = len(self.sigmas) - 1
            firsts = [round((step + 1) * count / steps) for step in range(steps)]
        ends = [firsts.count(stage + 1) for stage in range(count)]
        return tuple(
            Marks(self._point(level), end) for level, end in zip(self._levels, ends, strict=True)
        )

    def _point(self, sigma_ve: float) -> Point:
        if self.schedule is None:
            return Point(1.0, sigma_ve, sigma_ve)
        level = np.array([sigma_ve])
        alpha, sigma = self.schedule.coordinates(level)
        time = self.schedule.told(self.schedule.model_time(level))
        return Point(float(alpha[0]), float(sigma[0]), float(time[0]))

    def _own(self, shape: torch.Size) -> dict[str, Any]:
        """The arguments of the convention that this function knows."""
        given: dict[str, Any] = {
            "extra_args": {},
            "callback": lambda _: self._steps.append(len(self._levels)),
            "disable": True,
            "noise_sampler": lambda *_: torch.randn(shape),
        }
        parameters = inspect.signature(self.sample).parameters
        return {key: given[key] for key in OWN if key in parameters and key not in self.options}
