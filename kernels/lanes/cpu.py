"""Lanes on a CPU without allocation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.lanes.reference import check_index, factors

Array = NDArray[Any]


def gather(
    source: Array,
    index: Array,
    scale: Array | None = None,
    *,
    out: Array,
) -> None:
    """Write rows of source by lane; see the reference.

    Args:
        source: (rows, ...) of any type; a float type if scaled.
        index: (lanes,) integers, 0 .. rows - 1; intp is read without a copy.
        scale: (lanes,), cast to the source's type; None copies bit for bit.
        out: (lanes, ...) of the source's type; must not overlap it.

    Raises:
        ValueError: an index outside the source, an out of another shape or type, or a scale that
            does not fit.
    """
    check_index(index, len(source))
    if out.shape != index.shape + source.shape[1:] or out.dtype != source.dtype:
        raise ValueError(
            f"{index.size} lanes of {source.shape[1:]} {source.dtype} do not fit out "
            f"{out.shape} {out.dtype}."
        )
    # The index is checked above; mode "raise" would gather into a hidden copy of out.
    np.take(source, index, axis=0, out=out, mode="clip")
    if scale is not None:
        np.multiply(out, factors(scale, index, source), out=out)
