"""Gaussian data whose elements depend on each other: along its axes it is an ordinary Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.oracle.gaussian import Gaussian

Array = NDArray[Any]

ROUNDING = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Correlated:
    """Independent points x0 ~ N(mean, covariance) of `width` elements each.

    S = alpha^2 covariance + sigma^2 I
    D = mean + alpha covariance S^-1 (x - alpha mean),  E = sigma S^-1 (x - alpha mean)

    Both are computed along the axes of the covariance, where elements are independent. A latent of
    n elements is n / width points.

    Args:
        mean: (width,).
        covariance: (width, width), symmetric, no eigenvalue below 0.

    Raises:
        InvalidInput: shapes or numbers that are no Gaussian, or a latent that is not whole points.

    Source: conditioning of a joint Gaussian, Bishop 2006, "Pattern Recognition and Machine
    Learning", eq. 2.81.
    """

    mean: Array
    covariance: Array

    def __post_init__(self) -> None:
        mean, covariance = np.asarray(self.mean), np.asarray(self.covariance)
        if mean.ndim != 1 or covariance.shape != (mean.size, mean.size):
            raise InvalidInput(
                f"a mean of shape {mean.shape} and a covariance of shape {covariance.shape}; give "
                "(width,) and (width, width)."
            )
        slack = ROUNDING * np.abs(covariance).max()
        is_symmetric = np.allclose(covariance, covariance.T, rtol=0, atol=slack)
        if not is_symmetric or np.linalg.eigvalsh(covariance)[0] < -slack:
            raise InvalidInput("a covariance is symmetric and has no eigenvalue below 0.")

    @property
    def axes(self) -> Array:
        """(width, width), an axis per column; x @ axes are the coordinates of points x."""
        return np.asarray(np.linalg.eigh(self.covariance)[1])

    @property
    def along(self) -> Gaussian:
        """The same data in the coordinates of its axes, (width,) independent elements."""
        spread, axes = np.linalg.eigh(self.covariance)
        return Gaussian(np.asarray(self.mean) @ axes, np.maximum(spread, 0.0))

    def estimates(self, latent: Array, alpha: float, sigma: float) -> tuple[Array, Array]:
        """D and E, see `Denoiser`."""
        axes = self.axes
        denoised, noise = self.along.estimates(self._points(latent) @ axes, alpha, sigma)
        return (denoised @ axes.T).reshape(latent.shape), (noise @ axes.T).reshape(latent.shape)

    def sample(
        self, rng: np.random.Generator, count: int, alpha: float = 1.0, sigma: float = 0.0
    ) -> Array:
        """Draw `count` points x = alpha x0 + sigma eps, flat, (count * width,)."""
        mean, variance = self.along.moments(alpha, sigma)
        points = mean + np.sqrt(variance) * rng.standard_normal((count, len(mean)))
        return np.ravel(points @ self.axes.T)

    def log_density(self, latent: Array, alpha: float, sigma: float) -> Array:
        """log p(x) of every point, (points,), x = alpha x0 + sigma eps."""
        points = self._points(latent) @ self.axes
        return np.asarray(self.along.log_density(points, alpha, sigma).sum(axis=1))

    def score(self, latent: Array, alpha: float, sigma: float) -> Array:
        """Derivative of `log_density` in x, -E / sigma, shaped as the latent."""
        axes = self.axes
        score = self.along.score(self._points(latent) @ axes, alpha, sigma)
        return np.asarray((score @ axes.T).reshape(latent.shape))

    def _points(self, latent: Array) -> Array:
        width = len(self.mean)
        if latent.size % width:
            raise InvalidInput(
                f"a latent of {latent.size} elements is no whole number of points of {width}."
            )
        return latent.reshape(-1, width)
