"""The path of a residual diffusion bridge, between a clean picture and its degraded form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.schedules.schedule import Array
from denoisert.runtime.sampling.schedules.variance_preserving import Cosine

EIGHT_BITS = 255.0


@dataclass(frozen=True, slots=True)
@checked
class ResidualBridgePath:
    """x = mu + alpha (x0 - mu) + sigma eps, mu the degraded picture.

    With c(n) the sum of the cosine schedule's betas over the times 0 .. n and c the whole sum,
    alpha = sinh(c - c(n)) / sinh(c) and sigma^2 = 2 strength sinh(c(n)) sinh(c - c(n)) / sinh(c).
    At the last train time both are 0: a run starts from mu itself, without noise.

    Args:
        strength: of the noise, above 0.
        train_steps: number of train times.

    Raises:
        InvalidInput: a strength that is not positive and finite, or no number of train times.

    Source: residual diffusion bridge, its published code (MiliLab/RDBM).
    """

    noise_gain: ClassVar[float] = 0.0

    strength: float = 10.0 / EIGHT_BITS
    train_steps: int = 100

    def __post_init__(self) -> None:
        Cosine(self.train_steps)
        if not 0.0 < self.strength < math.inf:
            raise InvalidInput(f"bridge strength {self.strength} must be finite and above 0.")

    @property
    def first(self) -> float:
        """The last train time, the degraded picture."""
        return float(self.train_steps - 1)

    @property
    def last(self) -> float:
        """Train time 0."""
        return 0.0

    def at(self, model_time: Array) -> tuple[Array, Array]:
        """(alpha, sigma) of model times, c linear between whole ones.

        Raises:
            InvalidInput: a time outside the trained range.
        """
        if not np.all((model_time >= 0) & (model_time <= self.first)):
            raise InvalidInput(
                f"model times {model_time} reach beyond the trained range, 0 to {self.first:g}. "
                "Ask for times inside it."
            )
        done = np.interp(model_time, np.arange(self.train_steps), self._sums())
        left = np.sinh(self._sums()[-1] - done) / np.sinh(self._sums()[-1])
        return left, np.sqrt(2.0 * self.strength * np.sinh(done) * left)

    def coordinates(self, sigma_ve: Array) -> tuple[Array, Array]:
        """(alpha, sigma) of noise levels sigma / alpha.

        sigma_ve^2 = 2 strength sinh(c(n)) sinh(c) / sinh(c - c(n)), solved for c(n).
        """
        whole = self._sums()[-1]
        ratio = np.asarray(sigma_ve, np.float64) ** 2 / (2.0 * self.strength * np.sinh(whole))
        # sinh(y) = ratio sinh(c - y) is tanh(y) = ratio sinh(c) / (1 + ratio cosh(c)).
        finite = np.where(np.isinf(ratio), 0.0, ratio)
        share = finite * np.sinh(whole) / (1.0 + finite * np.cosh(whole))
        done = np.where(np.isinf(ratio), whole, np.arctanh(share))
        left = np.sinh(whole - done) / np.sinh(whole)
        return left, np.sqrt(2.0 * self.strength * np.sinh(done) * left)

    def model_time(self, sigma_ve: Array) -> Array:
        """Times between whole ones where c is linear, held at both ends."""
        whole = self._sums()[-1]
        left = np.arcsinh(self.coordinates(sigma_ve)[0] * np.sinh(whole))
        times: Array = np.interp(whole - left, self._sums(), np.arange(self.train_steps))
        return times

    def told(self, model_time: Array) -> Array:
        """The times themselves."""
        return model_time

    def spaced(self, t: Array) -> Array:
        """Times (train_steps - 1) t, not rounded."""
        return self.first * t

    def _sums(self) -> Array:
        return np.cumsum(Cosine(self.train_steps).betas())
