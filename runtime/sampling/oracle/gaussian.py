"""Gaussian data: the denoiser is affine, so whole samplers are known in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Gaussian:
    """Independent elements x0 ~ N(mean, variance).

    c = alpha^2 variance + sigma^2
    D = mean + alpha variance (x - alpha mean) / c
    E = sigma (x - alpha mean) / c

    Args:
        mean: one number, or (elements,).
        variance: at least 0, one number or (elements,).

    Raises:
        InvalidInput: a negative variance.

    Source: conditioning of a joint Gaussian, Bishop 2006, "Pattern Recognition and Machine
    Learning", eq. 2.81.
    """

    mean: float | Array
    variance: float | Array

    def __post_init__(self) -> None:
        if not np.all(np.asarray(self.variance) >= 0):
            raise InvalidInput(f"a Gaussian of variance {self.variance}; take at least 0.")

    def estimates(self, latent: Array, alpha: float, sigma: float) -> tuple[Array, Array]:
        """D and E, see `Denoiser`."""
        mean, variance = self.moments(1.0, 0.0)
        offset = -self.score(latent, alpha, sigma)
        return mean + alpha * variance * offset, sigma * offset

    def moments(self, alpha: float, sigma: float) -> tuple[Array, Array]:
        """Mean and variance of x = alpha x0 + sigma eps, shaped as those of x0."""
        mean, variance = np.asarray(self.mean, np.float64), np.asarray(self.variance, np.float64)
        return alpha * mean, alpha**2 * variance + sigma**2

    def sample(
        self, rng: np.random.Generator, count: int, alpha: float = 1.0, sigma: float = 0.0
    ) -> Array:
        """Draw x = alpha x0 + sigma eps, (count,); a mean per element takes its own count."""
        mean, variance = self.moments(alpha, sigma)
        return np.asarray(mean + np.sqrt(variance) * rng.standard_normal(count))

    def log_density(self, latent: Array, alpha: float, sigma: float) -> Array:
        """log p(x) of every element, x = alpha x0 + sigma eps."""
        mean, variance = self.moments(alpha, sigma)
        square = (latent - mean) ** 2 / variance
        return np.asarray(-0.5 * (square + np.log(2.0 * np.pi * variance)))

    def score(self, latent: Array, alpha: float, sigma: float) -> Array:
        """Derivative of `log_density` in x, -E / sigma."""
        mean, variance = self.moments(alpha, sigma)
        return np.asarray((mean - latent) / variance)
