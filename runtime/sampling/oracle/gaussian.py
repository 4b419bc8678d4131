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

    D = mean + alpha variance (x - alpha mean) / (alpha^2 variance + sigma^2)
    E = sigma (x - alpha mean) / (alpha^2 variance + sigma^2)

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
        mean, variance = np.asarray(self.mean, np.float64), np.asarray(self.variance, np.float64)
        offset = (latent - alpha * mean) / (alpha**2 * variance + sigma**2)
        return mean + alpha * variance * offset, sigma * offset
