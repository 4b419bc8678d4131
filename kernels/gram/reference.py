"""The specification of gram: dot products and sums in float64, whatever the vectors' type."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_channels(elements: int, channels: int) -> None:
    """Refuse a flat vector that does not fall apart into equal channels.

    Raises:
        ValueError: channels below 1, or elements not divisible by channels.
    """
    if channels < 1 or elements % channels:
        raise ValueError(
            f"{elements} elements cannot be split into {channels} equal channels; "
            "take a divisor of the number of elements."
        )


def gram(
    vectors: NDArray[Any], channels: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Products and sums of M flat vectors, per channel.

    products[c, i, j] = sum_x V_i[c, x] V_j[c, x],  sums[c, i] = sum_x V_i[c, x]

    Args:
        vectors: (M, n) of any float type, channels first: n = channels * (n // channels).
        channels: 1 for products over whole vectors.

    Returns:
        products (channels, M, M) and sums (channels, M), float64.

    Raises:
        ValueError: n not divisible by channels.
    """
    check_channels(vectors.shape[1], channels)
    wide = vectors.astype(np.float64).reshape(vectors.shape[0], channels, -1)
    return np.einsum("icx,jcx->cij", wide, wide), wide.sum(axis=2).T.copy()
