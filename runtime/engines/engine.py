"""What every engine offers: ports, buckets, and a call bound once to buffers it does not own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Protocol, TypeVar

from denoisert.runtime.errors import BuildError, OutOfProfile

Buffer = Any
"""A NumPy array, or a tensor on an engine's device."""

HALF_BYTES = 2
LARGEST_BUCKET = 16
"""Most lanes of one call of a graph that takes any number."""


@dataclass(frozen=True, slots=True)
class Port:
    """One named input or output of a graph.

    Args:
        name: graph name.
        dtype: NumPy name, for example "float32"; or "bfloat16", which NumPy has not.
        dims: sizes; a string names a dimension that may vary: the lanes, and after them the sizes
            that `at` fixes.
    """

    name: str
    dtype: str
    dims: tuple[int | str, ...]

    @property
    def open_axes(self) -> tuple[str, ...]:
        """Names of the sizes that are not fixed yet."""
        return tuple(size for size in self.dims[1:] if isinstance(size, str))

    def at(self, sizes: Mapping[str, int]) -> Port:
        """The port with these sizes fixed; the lanes, and names it does not have, stay."""
        fixed = (sizes.get(size, size) if isinstance(size, str) else size for size in self.dims[1:])
        return replace(self, dims=(*self.dims[:1], *fixed))

    def shape(self, lanes: int) -> tuple[int, ...]:
        """Dimensions for a number of lanes: a named first dimension becomes `lanes`.

        Raises:
            OutOfProfile: a size is not fixed.
        """
        if self.open_axes:
            raise OutOfProfile(
                f"{self.name} has dimensions {self.dims}, so its shape is not known. Fix "
                f"{', '.join(self.open_axes)} by `Engine.at`."
            )
        head = (lanes,) if self.dims and isinstance(self.dims[0], str) else self.dims[:1]
        return tuple(int(size) for size in (*head, *self.dims[1:]))

    def nbytes(self, lanes: int) -> int:
        """Memory of a buffer for `lanes` lanes."""
        import numpy as np  # not before there is something to run: `compile --help` reads this file

        size = HALF_BYTES if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize
        return prod(self.shape(lanes)) * size

    def buffer(self, lanes: int) -> Buffer:
        """A zeroed array of this port's dtype for `lanes` lanes."""
        import numpy as np

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

    def at(self, sizes: Mapping[str, int]) -> Engine:
        """The same engine, weights and session with the sizes of named axes fixed.

        Args:
            sizes: name of an axis -> its length; names that no port has are passed over.

        Returns:
            This engine where nothing is left to fix. Closing either closes both.
        """
        ...

    def close(self) -> None:
        """Release the engine; bound calls are dead afterwards. Twice is harmless."""
        ...


Sized = TypeVar("Sized", bound=Engine)


def fixed(engine: Engine, sizes: Mapping[str, int], component: str) -> Engine:
    """An engine at the sizes that its card says, with no axis left open.

    Args:
        engine: of a graph that may have named axes.
        sizes: name of an axis -> its length.
        component: of the bundle, for the message.

    Raises:
        BuildError: the graph has a named axis that its card does not speak of.
    """
    found = engine.at(sizes)
    left = {axis for port in (*found.inputs, *found.outputs) for axis in port.open_axes}
    if left:
        raise BuildError(
            f"the axes {', '.join(sorted(left))} of {component!r} may have any length; its card "
            f"fixes {', '.join(sizes) or 'none'}, and beside those only the first dimension may "
            "vary. Compile the model again, at the sizes that are wanted."
        )
    return found


def ports_at(ports: Sequence[Port], sizes: Mapping[str, int]) -> tuple[Port, ...]:
    """Ports with these sizes fixed."""
    return tuple(port.at(sizes) for port in ports)


def sized(engine: Sized, sizes: Mapping[str, int]) -> Sized:
    """A view of an engine with the sizes of named axes fixed in its ports.

    Args:
        engine: what it shares with the view is in objects of its own.
        sizes: name of an axis -> its length; names that no port has are passed over.

    Returns:
        The engine itself where nothing is left to fix.
    """
    ports = ports_at(engine.inputs, sizes), ports_at(engine.outputs, sizes)
    if ports == (engine.inputs, engine.outputs):
        return engine
    view = copy(engine)
    view.inputs, view.outputs = ports
    return view


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
