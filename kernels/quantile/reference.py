"""The specification of quantile: sort, then interpolate two neighbours as torch.quantile does."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray


def neighbours(count: int, q: float, kind: type[np.floating[Any]]) -> tuple[int, int, float]:
    """Ranks below and above the q-quantile of count sorted values, and the share of the upper one.

    rank = q (count - 1), rounded in the values' type as torch.quantile rounds it.

    Raises:
        ValueError: no values, or q outside 0 .. 1.
    """
    if count < 1 or not 0.0 <= q <= 1.0:
        raise ValueError(f"quantile {q} of {count} values; take q in 0 .. 1 of at least one value.")
    rank = kind(q) * kind(count - 1)
    below = min(int(rank), count - 1)
    return below, min(ceil(rank), count - 1), float(rank - kind(below))


def interpolate(low: np.floating[Any], high: np.floating[Any], share: float) -> float:
    """Low + share (high - low), from the nearer end, in the values' type; returned as float.

    Between a finite and an infinite value lies the infinite one (torch returns NaN there).
    """
    if share == 0.0 or low == high or np.isinf(high):
        return float(low if share == 0.0 else high)
    weight = type(low)(share)
    if weight < 0.5:
        return float(low + weight * (high - low))
    return float(high - (high - low) * (type(low)(1) - weight))


def quantile(values: NDArray[Any], q: float) -> float:
    """Exact q-quantile of |values| with linear interpolation.

    Args:
        values: (n,) of any float type, n >= 1.
        q: 0 .. 1.

    Returns:
        The quantile; NaN if a value is NaN.

    Raises:
        ValueError: no values, or q outside 0 .. 1.

    Source: torch.quantile, interpolation "linear"; Hyndman and Fan 1996, definition 7.
    """
    ordered = np.sort(np.abs(values))  # NaN comes last
    below, above, share = neighbours(values.size, q, values.dtype.type)
    if np.isnan(ordered[-1]):
        return float("nan")
    return interpolate(ordered[below], ordered[above], share)
