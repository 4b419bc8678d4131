"""Which float type each part of a graph is computed in.

In float32 and float64 that is one type. In a half type three kinds of values stay in float32,
"wide": one number per lane (times, scales) and what is computed from it up to the first weights;
positions up to their sine and cosine, since a phase of several hundred has no digits left in a half
type; and results that leave a half type's range, squares, powers, exponentials and sums. Weights,
activations and outputs are half. A node that reads both kinds is half, so nothing wide spreads.
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
from denoisert.runtime.errors import BuildError

ALLOWED: Final = ("float32", "float16", "bfloat16", "float64")
HALF: Final = frozenset((torch.float16, torch.bfloat16))
PHASES: Final = frozenset(("Sin", "Cos"))
WEIGHTS: Final = frozenset(("Attention", "Conv", "ConvTranspose", "Gemm", "MatMul"))
"""Operators that carry the network's weights; wide values become half in front of them."""

MIXING: Final = WEIGHTS | {
    "BatchNormalization",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "Softmax",
}
"""Operators behind which a value is an activation, whatever it was before."""

OUT_OF_RANGE: Final = frozenset(
    (
        "CumSum",
        "Exp",
        "Pow",
        "Reciprocal",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMean",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
    )
)
"""Operators whose result may exceed 65504 or fall below 6e-8 where their input does not."""


@dataclass(frozen=True, slots=True)
class Precision:
    """The float types of an engine.

    Args:
        compute: of weights, activations and outputs.
    """

    compute: torch.dtype

    @classmethod
    def named(cls, name: str) -> Precision:
        """The precision of that name.

        Raises:
            BuildError: the engine does not compute in it.
        """
        if name not in ALLOWED:
            raise BuildError(f"{name!r} asked for; the torch engine computes in {ALLOWED}.")
        return cls(NAMES[name])

    @property
    def wide(self) -> torch.dtype:
        """Of what a half type would spoil."""
        return torch.float32 if self.compute in HALF else self.compute

    def floats(self, dtype: torch.dtype) -> Mapping[torch.dtype, torch.dtype]:
        """Float type of the file -> that of a node which is computed in `dtype`.

        A file's float64 stays float64 unless the engine computes in a half type.
        """
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
        if self.compute not in HALF:
            return self.compute
        given = [x.dtype for x in inputs if x is not None and x.dtype.is_floating_point]
        if not given:
            return self.wide if node.op == "Cast" else self.compute
        if node.op in OUT_OF_RANGE or (node.op == "Mul" and node.inputs[0] == node.inputs[1]):
            return self.wide
        if self.compute in given:
            return self.compute
        is_weighted = node.op in WEIGHTS and not _is_outer(node, inputs)
        return self.compute if is_weighted else self.wide


def _is_outer(node: Node, inputs: Sequence[Tensor | None]) -> bool:
    """Whether a product has one term only, as that of positions and frequencies."""
    if node.op != "MatMul":
        return False
    terms = (x.shape[-1 - i % x.dim()] for i, x in enumerate(inputs) if x is not None and x.dim())
    return any(count == 1 for count in terms)


def wide_inputs(graph: Graph) -> frozenset[str]:
    """Float inputs of one number per lane, and those that become phases before any activation."""
    phases: set[str] = set()
    for node in reversed(graph.nodes):
        if node.op in PHASES or (node.op not in MIXING and phases & set(node.outputs)):
            phases.update(node.inputs)
    return frozenset(
        port.name
        for port in graph.inputs
        if NAMES[port.dtype].is_floating_point and (len(port.dims) < 2 or port.name in phases)
    )


def in_range(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A constant in another float type; finite numbers stay finite."""
    if dtype not in HALF or tensor.dtype is dtype:
        return tensor.to(dtype)
    limit = torch.finfo(dtype).max
    is_finite = torch.isfinite(tensor)
    return torch.where(is_finite, tensor.clamp(-limit, limit), tensor).to(dtype)
