"""Quantile on a CPU without allocation: partition in a workspace instead of a sort."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from denoisert.kernels.quantile.reference import interpolate, neighbours

Array = NDArray[Any]


def workspace(count: int, dtype: DTypeLike = np.float32) -> Array:
    """A buffer for `quantile` of up to count values of dtype."""
    return np.zeros(count, dtype=dtype)


def quantile(values: Array, q: float, *, workspace: Array) -> float:
    """Exact q-quantile of |values|; see the reference.

    Args:
        values: (n,) of the workspace's type.
        q: 0 .. 1.
        workspace: (at least n,); its content is lost.

    Returns:
        The quantile; NaN if a value is NaN.

    Raises:
        ValueError: no values, q outside 0 .. 1, or a workspace too small or of another type.
    """
    if workspace.size < values.size or workspace.dtype != values.dtype:
        raise ValueError(
            f"{values.size} values of {values.dtype} do not fit a workspace of {workspace.size} "
            f"{workspace.dtype}; take workspace(count, dtype)."
        )
    below, above, share = neighbours(values.size, q, values.dtype.type)
    ordered = workspace[: values.size]
    np.abs(values, out=ordered)
    if np.isnan(np.maximum.reduce(ordered)):
        return float("nan")
    ordered.partition((below, above))
    return interpolate(ordered[below], ordered[above], share)
