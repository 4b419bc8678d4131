"""The rule "rescale": classifier-free guidance with the standard deviation of cond.

The scalar program sees products and sums only and returns the weights of the vectors, so the latent
is read once for the products and once when the vectors are combined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

VECTORS = 2  # V_0 = cond, V_1 = uncond
PER_CHANNEL = False

# A variance below this share of the terms that it is the difference of is their rounding error.
RESOLUTION = 1e-13


def cfg_rescale(
    products: NDArray[np.float64],
    sums: NDArray[np.float64],
    count: int,
    args: Sequence[float] | NDArray[Any],
    carried: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Weights (s w, s (1 - w)) of cond and uncond.

    cov_ij = products_ij - sums_i sums_j / count,  g = (w, 1 - w)
    k = sqrt(cov_00 / (g cov g)),  s = phi k + 1 - phi

    The unbiased factor 1 / (count - 1) cancels in k. A guided vector without spread (std(g) = 0,
    up to the rounding of its products) takes k = 1: there is nothing to rescale.

    Args:
        products: (channels, 2, 2).
        sums: (channels, 2).
        count: elements of a channel.
        args: guidance scale w, then phi in 0 .. 1; more are ignored.
        carried: (channels, 4); this rule keeps nothing.

    Returns:
        (channels, 2) float64.

    Source: Lin, Liu, Li, Yang 2023, arXiv 2305.08891, section 3.4, equations 14 to 16.
    """
    scale, phi = float(args[0]), float(args[1])
    weights = np.array([scale, 1.0 - scale])
    covariance = products - sums[:, :, None] * sums[:, None, :] / count
    cond = np.maximum(covariance[:, 0, 0], 0.0)
    guided = covariance @ weights @ weights
    terms = np.abs(products) @ np.abs(weights) @ np.abs(weights)
    has_spread = guided > RESOLUTION * terms
    ratio = np.sqrt(np.divide(cond, guided, out=np.ones_like(cond), where=has_spread))
    factor: NDArray[np.float64] = phi * ratio + (1.0 - phi)
    guidance: NDArray[np.float64] = factor[:, None] * weights
    return guidance
