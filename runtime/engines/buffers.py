"""Does a NumPy array fit a port? What every engine on a CPU asks before it keeps an address."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from denoisert.runtime.engines.engine import Buffer, Port
from denoisert.runtime.errors import OutOfProfile


def check_bucket(bucket: int, buckets: tuple[int, ...]) -> None:
    """Refuse a number of lanes that an engine does not have.

    Raises:
        OutOfProfile: it is not among them.
    """
    if bucket not in buckets:
        raise OutOfProfile(f"{bucket} lanes asked for, the engine is compiled for {buckets}.")


def check_buffer(port: Port, bucket: int, buffers: Mapping[str, Buffer]) -> None:
    """Refuse a buffer that a port cannot be bound to.

    Args:
        port: of a graph.
        bucket: number of lanes.
        buffers: port name -> array.

    Raises:
        OutOfProfile: it is missing, has another shape or dtype, or is not contiguous.
    """
    shape, array = port.shape(bucket), buffers.get(port.name)
    if array is None:
        raise OutOfProfile(f"no buffer for {port.name}, {port.dtype} {shape}; have {[*buffers]}.")
    if array.shape != shape or array.dtype != np.dtype(port.dtype):
        raise OutOfProfile(
            f"{port.name} takes {port.dtype} {shape}, the buffer is {array.dtype} {array.shape}."
        )
    if not array.flags.c_contiguous:
        raise OutOfProfile(f"the buffer of {port.name} is not contiguous.")
