"""The specification of every rule as its paper writes it, on whole vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def cfg_rescale(cond: NDArray[Any], uncond: NDArray[Any], scale: float, phi: float) -> NDArray[Any]:
    """Guidance whose standard deviation is pulled back to that of cond.

    g = uncond + scale (cond - uncond),  out = phi std(cond) / std(g) g + (1 - phi) g

    std is unbiased and runs over all elements; where std(g) is 0, the ratio is taken as 1.

    Args:
        cond: (n,) of any float type, n >= 2.
        uncond: (n,) of the same type.
        scale: guidance scale, 1 = none.
        phi: share of the rescaled vector, 0 .. 1.

    Returns:
        (n,) of the same type.

    Source: Lin, Liu, Li, Yang 2023, arXiv 2305.08891, section 3.4, equations 14 to 16.
    """
    guided = uncond + scale * (cond - uncond)
    spread = guided.std(ddof=1)
    ratio = cond.std(ddof=1) / spread if spread > 0 else 1.0
    rescaled: NDArray[Any] = (phi * ratio + (1 - phi)) * guided
    return rescaled


def langevin(score: NDArray[Any], noise: NDArray[Any], ratio: float, factor: float) -> NDArray[Any]:
    """A Langevin step whose size balances its two parts.

    e = 2 factor (ratio |noise| / |score|)^2,  out = e score + sqrt(2 e) noise

    where the score is 0, so is the step.

    Args:
        score: (n,) of any float type.
        noise: (n,) of the same type, standard normal.
        ratio: signal-to-noise ratio.
        factor: alpha of the time, 1 on a variance-exploding path.

    Returns:
        (n,) of the same type.

    Source: Song et al. 2021, arXiv 2011.13456, algorithms 4 and 5.
    """
    norm = np.linalg.norm(score)
    size = 2 * factor * (ratio * np.linalg.norm(noise) / norm) ** 2 if norm > 0 else 0.0 * norm
    step: NDArray[Any] = size * score + np.sqrt(2 * size) * noise
    return step
