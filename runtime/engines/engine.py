"""What every engine offers: ports, buckets, and a call bound once to buffers it does not own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np

from denoisert.runtime.errors import BuildError

Buffer = Any
"""A NumPy array, or a tensor on an engine's device."""

HALF_BYTES = 2


@dataclass(frozen=True, slots=True)
class Port:
    """One named input or output of a graph.

    Args:
        name: graph name.
        dtype: NumPy name, for example "float32"; or "bfloat16", which NumPy has not.
        dims: sizes; a string names a dimension that may vary.
    """

    name: str
    dtype: str
    dims: tuple[int | str, ...]

    def shape(self, lanes: int) -> tuple[int, ...]:
        """Dimensions for a number of lanes: a named first dimension becomes `lanes`."""
        head = (lanes,) if self.dims and isinstance(self.dims[0], str) else self.dims[:1]
        return tuple(int(size) for size in (*head, *self.dims[1:]))

    def nbytes(self, lanes: int) -> int:
        """Memory of a buffer for `lanes` lanes."""
        size = HALF_BYTES if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize
        return prod(self.shape(lanes)) * size

    def buffer(self, lanes: int) -> Buffer:
        """A zeroed array of this port's dtype for `lanes` lanes."""
        return np.zeros(self.shape(lanes), np.dtype(self.dtype))


class Bound(Protocol):
    """One call of an engine on fixed buffers; running it allocates nothing of the engine's own."""

    is_capturable: bool

    def run(self, stream: object | None = None) -> None:
        """Read the input buffers, write the output buffers."""
        ...


class Engine(Protocol):
    """A compiled network.

    Attributes:
        inputs: what it reads.
        outputs: what it writes.
        buckets: lane counts it can be bound at, ascending.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    buckets: tuple[int, ...]

    def workspace_bytes(self, bucket: int) -> int:
        """Memory a bound call needs beyond its buffers, 0 where unknown."""
        ...

    def bind(self, bucket: int, buffers: Mapping[str, Buffer]) -> Bound:
        """Fix the buffers of one call.

        Args:
            bucket: one of `buckets`.
            buffers: port name -> array with `bucket` lanes, C-contiguous.
        """
        ...

    def close(self) -> None:
        """Release the engine; bound calls are dead afterwards."""
        ...


def lane_buckets(outputs: Sequence[Port], largest: int) -> tuple[int, ...]:
    """The lane counts that a graph can be bound at: any, or the one that it fixes.

    Args:
        outputs: of the graph.
        largest: most lanes of a call where any number goes.

    Raises:
        BuildError: an output without lanes, or outputs that fix different numbers.
    """
    if not all(port.dims for port in outputs):
        raise BuildError("an output of the graph is a scalar; every output needs a row per lane.")
    fixed = {port.dims[0] for port in outputs if isinstance(port.dims[0], int)}
    if not fixed:
        return tuple(range(1, largest + 1))
    if len(fixed) > 1:
        raise BuildError(f"the graph's outputs have different fixed batch sizes {sorted(fixed)}.")
    return (fixed.pop(),)
