"""The trigonometric path of stochastic interpolants; their linear one is `Flow`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.schedules.schedule import Array

QUARTER = math.pi / 2.0


@dataclass(frozen=True, slots=True)
@checked
class Trigonometric:
    """x = cos(pi t / 2) x0 + sin(pi t / 2) eps with t in [0, 1]; a run starts from pure noise.

    Its velocity dx/dt is pi/2 times v = alpha eps - sigma x0, so a network of the velocity is one
    of v, its output divided by pi/2 in the graph; of the angle's velocity it is v itself.

    Args:
        time_scale: the network is told time_scale * t; pi/2 tells it the angle.

    Raises:
        InvalidInput: a scale that is not positive and finite.

    Source: Albergo, Boffi and Vanden-Eijnden 2023, arXiv 2303.08797; the angle as time: Lu and Song
    2024, arXiv 2410.11081.
    """

    noise_gain: ClassVar[float] = 1.0
    train_steps: ClassVar[None] = None

    time_scale: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.time_scale) and self.time_scale > 0.0):
            raise InvalidInput(f"time_scale {self.time_scale} must be finite and above 0.")

    @property
    def first(self) -> float:
        """The model time of t = 1."""
        return self.time_scale

    @property
    def last(self) -> float:
        """The model time of t = 0."""
        return 0.0

    def at(self, model_time: Array) -> tuple[Array, Array]:
        """(cos, sin) of model times in 0 .. time_scale; alpha is exactly 0 at the noise end.

        Raises:
            InvalidInput: a time outside the path.
        """
        t = model_time / self.time_scale
        if not np.all((t >= 0.0) & (t <= 1.0)):
            raise InvalidInput(
                f"model times {model_time} reach beyond the path, 0 to {self.time_scale:g}. "
                "Ask for times inside it."
            )
        return np.where(t == 1.0, 0.0, np.cos(QUARTER * t)), np.sin(QUARTER * t)

    def coordinates(self, sigma_ve: Array) -> tuple[Array, Array]:
        """(1, sigma_ve) / sqrt(1 + sigma_ve^2); an infinite level is t = 1."""
        alpha = 1.0 / np.hypot(1.0, sigma_ve)
        finite = np.where(np.isinf(sigma_ve), 0.0, sigma_ve)
        return alpha, np.where(np.isinf(sigma_ve), 1.0, finite * alpha)

    def model_time(self, sigma_ve: Array) -> Array:
        """time_scale * atan(sigma_ve) / (pi/2)."""
        return np.asarray(self.time_scale * (np.arctan(sigma_ve) / QUARTER))

    def told(self, model_time: Array) -> Array:
        """The time itself."""
        return model_time

    def spaced(self, t: Array) -> Array:
        """Model times of t."""
        return self.time_scale * t
