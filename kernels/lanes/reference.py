"""The specification of lanes: pick one source row a lane, scaled if asked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_index(index: NDArray[Any], sources: int) -> None:
    """Refuse a lane that points outside the source; a negative index never counts from the end.

    Raises:
        ValueError: an index below 0 or not below sources.
    """
    if index.size and (index.min() < 0 or index.max() >= sources):
        raise ValueError(
            f"lanes point at rows {index.min()} .. {index.max()}; the source has {sources} rows."
        )


def factors(scale: NDArray[Any], index: NDArray[Any], source: NDArray[Any]) -> NDArray[Any]:
    """The scales in the source's type, one for each gathered row: (lanes, 1, ...).

    Raises:
        ValueError: a source whose type is no float, or not one scale a lane.
    """
    if not np.issubdtype(source.dtype, np.floating) or scale.shape != index.shape:
        raise ValueError(
            f"scales {scale.shape} do not fit {index.size} lanes of {source.dtype}; "
            "take one scale a lane and a float type."
        )
    return scale.astype(source.dtype, copy=False).reshape(-1, *(1,) * (source.ndim - 1))


def gather(
    source: NDArray[Any], index: NDArray[Any], scale: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Rows of source by lane: out[l] = source[index[l]] * scale[l].

    Args:
        source: (rows, ...) of any type; a float type if scaled.
        index: (lanes,) integers, 0 .. rows - 1; rows may repeat.
        scale: (lanes,), cast to the source's type; None copies bit for bit.

    Returns:
        (lanes, ...) of the source's type.

    Raises:
        ValueError: an index outside the source, or a scale that does not fit.
    """
    check_index(index, len(source))
    picked: NDArray[Any] = source[index]
    if scale is not None:
        picked *= factors(scale, index, source)
    return picked
