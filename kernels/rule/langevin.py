"""The rule "langevin": a Langevin step whose size follows from the norms of its two vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

VECTORS = 2  # V_0 = the score, V_1 = standard normal noise
PER_CHANNEL = False


def langevin(
    products: NDArray[np.float64],
    sums: NDArray[np.float64],
    count: int,
    args: Sequence[float] | NDArray[Any],
    carried: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Weights (e, sqrt(2 e)) of the score g and the noise z.

    e = 2 a (r |z| / |g|)^2

    A score of norm 0 gives no step: both weights are 0.

    Args:
        products: (channels, 2, 2).
        sums: (channels, 2); not read.
        count: elements of a channel; not read.
        args: signal-to-noise ratio r, then the factor a; more are ignored.
        carried: (channels, 4); this rule keeps nothing.

    Returns:
        (channels, 2) float64.

    Source: Song et al. 2021, arXiv 2011.13456, algorithms 4 and 5, with norms of one sample in the
    place of means over a batch.
    """
    ratio, factor = float(args[0]), float(args[1])
    score, noise = products[:, 0, 0], products[:, 1, 1]
    has_score = score > 0.0
    share = np.divide(noise, score, out=np.zeros_like(score), where=has_score)
    size = 2.0 * factor * ratio * ratio * share
    return np.stack([size, np.sqrt(2.0 * size)], axis=1)
