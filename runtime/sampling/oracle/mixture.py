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

    A latent of n elements is n / width points. With variances of 0 the data are the points `means`.

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

    def estimates(self, latent: Array, alpha: float, sigma: float) -> tuple[Array, Array]:
        """D and E, see `Denoiser`."""
        means, variances = np.asarray(self.means, np.float64), np.asarray(self.variances)
        width = means.shape[1]
        if latent.size % width:
            raise InvalidInput(
                f"a latent of {latent.size} elements is no whole number of points of {width}."
            )
        spread = (alpha**2 * variances + sigma**2)[:, None, None]
        offset = (latent.reshape(-1, width) - alpha * means[:, None]) / spread
        shares = self._shares(offset, spread)
        clean = means[:, None] + alpha * variances[:, None, None] * offset
        denoised, noise = (shares * clean).sum(axis=0), sigma * (shares * offset).sum(axis=0)
        return denoised.reshape(latent.shape), noise.reshape(latent.shape)

    def _shares(self, offset: Array, spread: Array) -> Array:
        """r_m of every point, (M, points, 1), from (x - alpha mean_m) / c_m and c_m."""
        square = (offset**2).sum(axis=2, keepdims=True) * spread
        weights = np.log(np.asarray(self.weights, np.float64))[:, None, None]
        exponent = weights - 0.5 * (square + offset.shape[2] * np.log(spread))
        shares = np.exp(exponent - exponent.max(axis=0))
        return np.asarray(shares / shares.sum(axis=0))
