"""Gaussian mixtures: an exact denoiser that is not linear, so solvers show their order on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """Independent points x0 ~ sum_m weight_m N(mean_m, variance_m I) of `width` elements each.

    c_m = alpha^2 variance_m + sigma^2
    r_m = weight_m c_m^(-width / 2) exp(-|x - alpha mean_m|^2 / (2 c_m)), divided by their sum
    D = sum_m r_m (mean_m + alpha variance_m (x - alpha mean_m) / c_m)
    E = sum_m r_m sigma (x - alpha mean_m) / c_m

    A latent of n elements is n / width points. Finite data are the mixture of variances 0, see
    `of_points`: D is then the softmax mean of the points.

    Args:
        weights: (M,), positive; divided by their sum.
        means: (M, width).
        variances: (M,), at least 0.

    Raises:
        InvalidInput: shapes or numbers that are no mixture, or a latent that is not whole points.

    Source: posterior of a Gaussian mixture, Bishop 2006, section 9.2; as the ideal denoiser of
    finite data, Karras et al. 2022, arXiv 2206.00364, appendix B.3.
    """

    weights: Array
    means: Array
    variances: Array

    def __post_init__(self) -> None:
        shapes = np.shape(self.weights), np.shape(self.means), np.shape(self.variances)
        count = shapes[0]
        if len(count) != 1 or len(shapes[1]) != 2 or not count == shapes[1][:1] == shapes[2]:
            raise InvalidInput(
                f"weights, means and variances of shapes {shapes}; a mixture takes (M,), "
                "(M, width) and (M,)."
            )
        if not (np.all(np.asarray(self.weights) > 0) and np.all(np.asarray(self.variances) >= 0)):
            raise InvalidInput("a mixture takes weights above 0 and variances of at least 0.")

    @classmethod
    def of_points(cls, points: Array, weights: Array | None = None) -> Mixture:
        """Finite data: x0 is one of some points.

        Args:
            points: (M, width).
            weights: (M,), by default all equal.
        """
        count = len(points)
        return cls(np.ones(count) if weights is None else weights, points, np.zeros(count))

    @property
    def width(self) -> int:
        """Elements of one point."""
        return int(np.shape(self.means)[1])

    def estimates(self, latent: Array, alpha: float, sigma: float) -> tuple[Array, Array]:
        """D and E, see `Denoiser`."""
        offset, exponent = self._components(latent, alpha, sigma)
        shares = _shares(exponent)
        clean = np.asarray(self.means, np.float64)[:, None] + (
            alpha * np.asarray(self.variances)[:, None, None] * offset
        )
        denoised, noise = (shares * clean).sum(axis=0), sigma * (shares * offset).sum(axis=0)
        return denoised.reshape(latent.shape), noise.reshape(latent.shape)

    def sample(
        self, rng: np.random.Generator, count: int, alpha: float = 1.0, sigma: float = 0.0
    ) -> Array:
        """Draw `count` points x = alpha x0 + sigma eps, flat, (count * width,)."""
        weights = np.asarray(self.weights) / np.sum(self.weights)
        chosen = rng.choice(len(weights), count, p=weights)
        spread = np.sqrt(alpha**2 * np.asarray(self.variances)[chosen] + sigma**2)
        noise = rng.standard_normal((count, self.width))
        return np.ravel(alpha * np.asarray(self.means)[chosen] + spread[:, None] * noise)

    def log_density(self, latent: Array, alpha: float, sigma: float) -> Array:
        """log p(x) of every point, (points,), x = alpha x0 + sigma eps."""
        exponent = self._components(latent, alpha, sigma)[1][:, :, 0]
        most = exponent.max(axis=0)
        return np.asarray(most + np.log(np.exp(exponent - most).sum(axis=0)))

    def score(self, latent: Array, alpha: float, sigma: float) -> Array:
        """Derivative of `log_density` in x, -E / sigma, shaped as the latent."""
        offset, exponent = self._components(latent, alpha, sigma)
        return np.asarray(-(_shares(exponent) * offset).sum(axis=0).reshape(latent.shape))

    def posterior(self, point: Array, alpha: float, sigma: float) -> Mixture:
        """The law of x0 given x = alpha x0 + sigma eps, again a mixture.

        Args:
            point: (width,).
            alpha: factor of the clean latent.
            sigma: factor of the noise, above 0.
        """
        offset, exponent = self._components(point, alpha, sigma)
        variances = np.asarray(self.variances, np.float64)
        total = alpha**2 * variances + sigma**2
        shares = np.maximum(_shares(exponent)[:, 0, 0], np.finfo(np.float64).tiny)
        means = np.asarray(self.means) + alpha * variances[:, None] * offset[:, 0]
        return Mixture(shares, means, variances * sigma**2 / total)

    def _components(self, latent: Array, alpha: float, sigma: float) -> tuple[Array, Array]:
        """Of every component and point, what D and the density are made of.

        Returns:
            (x - alpha mean_m) / c_m, (M, points, width), and log(weight_m N(x; alpha mean_m,
            c_m I)), (M, points, 1).
        """
        means, width = np.asarray(self.means, np.float64), self.width
        if latent.size % width:
            raise InvalidInput(
                f"a latent of {latent.size} elements is no whole number of points of {width}."
            )
        spread = (alpha**2 * np.asarray(self.variances) + sigma**2)[:, None, None]
        offset = (latent.reshape(-1, width) - alpha * means[:, None]) / spread
        square = (offset**2).sum(axis=2, keepdims=True) * spread
        weights = np.log(np.asarray(self.weights, np.float64) / np.sum(self.weights))
        scale = width * np.log(2.0 * np.pi * spread)
        return offset, weights[:, None, None] - 0.5 * (square + scale)


def _shares(exponent: Array) -> Array:
    """r_m of every point, from the logarithms of the unnormalised r_m along the first axis."""
    shares = np.exp(exponent - exponent.max(axis=0))
    return np.asarray(shares / shares.sum(axis=0))
