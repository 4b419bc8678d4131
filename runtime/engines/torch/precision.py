"""Which float type each part of a graph is computed in.

In float32 and float64 that is one type. In a half type some values stay in float32 by the rules of
`engines/wide.py`; weights, activations and outputs are half. A graph that a compiler narrowed says
itself in which type each node is: it is taken as written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.torch.dtypes import NAMES, name_of
from denoisert.runtime.engines.torch.graph import Graph, Node
from denoisert.runtime.engines.wide import LEAST_RANK, Reads, is_outer, is_square, is_wide, phases
from denoisert.runtime.errors import BuildError

WRITTEN: Final = "written"
"""What a precision is called that leaves every node in the types of the file."""

ALLOWED: Final = ("float32", "float16", "bfloat16", "float64", WRITTEN)
HALF: Final = frozenset((torch.float16, torch.bfloat16))


@dataclass(frozen=True, slots=True)
class Precision:
    """The float types of an engine.

    Args:
        compute: of weights, activations and outputs; None leaves every node as it is written.
    """

    compute: torch.dtype | None

    @classmethod
    def named(cls, name: str) -> Precision:
        """The precision of that name.

        Raises:
            BuildError: the engine does not compute in it.
        """
        if name not in ALLOWED:
            raise BuildError(f"{name!r} asked for; the torch engine computes in {ALLOWED}.")
        return cls(None if name == WRITTEN else NAMES[name])

    @property
    def is_written(self) -> bool:
        """Whether every node is in the types of the file."""
        return self.compute is None

    @property
    def wide(self) -> torch.dtype:
        """Of what a half type would spoil."""
        if self.compute is None or self.compute in HALF:
            return torch.float32
        return self.compute

    def floats(self, dtype: torch.dtype) -> Mapping[torch.dtype, torch.dtype]:
        """Float type of the file -> that of a node which is computed in `dtype`.

        A file's float64 stays float64 unless the engine computes in a half type.
        """
        if self.is_written:
            return MappingProxyType({})
        double = dtype if self.compute in HALF else torch.float64
        return MappingProxyType(
            {
                torch.float16: dtype,
                torch.bfloat16: dtype,
                torch.float32: dtype,
                torch.float64: double,
            }
        )

    def ports(self, graph: Graph) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
        """The graph's inputs and outputs in the dtypes that buffers must have."""
        if self.compute is None:
            return graph.inputs, graph.outputs
        wide = wide_inputs(graph)
        inputs = (
            self._port(port, self.wide if port.name in wide else self.compute)
            for port in graph.inputs
        )
        return tuple(inputs), tuple(self._port(port, self.compute) for port in graph.outputs)

    def _port(self, port: Port, dtype: torch.dtype) -> Port:
        known = NAMES[port.dtype]
        return Port(port.name, name_of(self.floats(dtype).get(known, known)), port.dims)

    def of_node(self, node: Node, inputs: Sequence[Tensor | None]) -> torch.dtype:
        """The float type that a node is computed in.

        Args:
            node: the operator.
            inputs: specimens of its inputs that are no constants, None for those that are.
        """
        if self.compute is None or self.compute not in HALF:
            return self.compute or self.wide
        given = [x.dtype for x in inputs if x is not None and x.dtype.is_floating_point]
        half = given.count(self.compute)
        shapes = [None if x is None else x.shape for x in inputs]
        reads = Reads(
            node.op,
            half,
            len(given) - half,
            is_square(node.op, node.inputs),
            is_outer(node.op, shapes),
        )
        return self.wide if is_wide(reads) else self.compute


def wide_inputs(graph: Graph) -> frozenset[str]:
    """Float inputs of one number per lane, and those that become phases before any activation."""
    found = phases([(node.op, node.inputs, node.outputs) for node in graph.nodes])
    return frozenset(
        port.name
        for port in graph.inputs
        if NAMES[port.dtype].is_floating_point
        and (len(port.dims) < LEAST_RANK or port.name in found)
    )


def in_range(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A constant in another float type; finite numbers stay finite."""
    if dtype not in HALF or tensor.dtype is dtype:
        return tensor.to(dtype)
    limit = torch.finfo(dtype).max
    is_finite = torch.isfinite(tensor)
    return torch.where(is_finite, tensor.clamp(-limit, limit), tensor).to(dtype)
