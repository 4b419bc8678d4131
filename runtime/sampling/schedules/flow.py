"""The linear path of flow matching, alpha = 1 - t, sigma = t."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.schedules.schedule import Array


@dataclass(frozen=True, slots=True)
@checked
class Flow:
    """x = (1 - t) x0 + t eps with t in [0, 1]; a run starts at t = 1, where alpha is exactly 0.

    The shift moves the spaced times towards the noise, t' = shift t / (1 + (shift - 1) t), once. It
    changes which times are visited, never what a time means.

    Args:
        shift: above 0; 1 changes nothing. In papers also exp(mu).
        time_scale: the network is told time_scale * t.

    Raises:
        InvalidInput: a value that is not positive and finite.

    Source: Liu et al. 2022, arXiv 2209.03003; shift: Esser et al. 2024, arXiv 2403.03206, eq. 23.
    """

    noise_gain: ClassVar[float] = 1.0
    train_steps: ClassVar[None] = None

    shift: float = 1.0
    time_scale: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("shift", self.shift), ("time_scale", self.time_scale)):
            if not (math.isfinite(value) and value > 0.0):
                raise InvalidInput(f"flow {name} {value} must be finite and above 0.")

    @property
    def first(self) -> float:
        """The model time of t = 1."""
        return self.time_scale

    @property
    def last(self) -> float:
        """The model time of t = 0."""
        return 0.0

    def at(self, model_time: Array) -> tuple[Array, Array]:
        """(1 - t, t) of model times in 0 .. time_scale.

        Raises:
            InvalidInput: a time outside the path.
        """
        t = model_time / self.time_scale
        if not np.all((t >= 0.0) & (t <= 1.0)):
            raise InvalidInput(
                f"model times {model_time} reach beyond the path, 0 to {self.time_scale:g}. "
                "Ask for times inside it."
            )
        return 1.0 - t, t

    def coordinates(self, sigma_ve: Array) -> tuple[Array, Array]:
        """(alpha, sigma) = (1, sigma_ve) / (1 + sigma_ve); an infinite level is t = 1."""
        alpha = 1.0 / (1.0 + sigma_ve)
        finite = np.where(np.isinf(sigma_ve), 0.0, sigma_ve)
        return alpha, np.where(np.isinf(sigma_ve), 1.0, finite * alpha)

    def model_time(self, sigma_ve: Array) -> Array:
        """time_scale * sigma_ve / (1 + sigma_ve)."""
        return self.time_scale * self.coordinates(sigma_ve)[1]

    def told(self, model_time: Array) -> Array:
        """The time itself."""
        return model_time

    def spaced(self, t: Array) -> Array:
        """Model times of the shifted t."""
        return self.time_scale * (self.shift * t / (1.0 + (self.shift - 1.0) * t))
