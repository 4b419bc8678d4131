"""A denoiser graph under construction: nodes, constants, and weights that are only described.

Describing a graph costs nothing, so the full sizes can be counted without writing them. Constants
lie in the graph; weights go to one file of external data, at the places that this file gives them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from denoisert.runtime.engines.engine import Port

OPSET = 23
IR_VERSION = 11
WEIGHTS = "weights.bin"
ALIGNMENT = 256  # bytes; what cudaMalloc and memory maps like
LANES = "lanes"

Attribute = int | float | str | list[int]


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor of independent normals, not drawn yet.

    Args:
        name: in the graph.
        shape: dimensions.
        mean: of its values.
        deviation: of its values.
        offset: first byte in the weight file.
    """

    name: str
    shape: tuple[int, ...]
    mean: float
    deviation: float
    offset: int

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)

    @property
    def end(self) -> int:
        """Last byte + 1 in the weight file."""
        return self.offset + 4 * self.size


class Graph:
    """Grows by calls; every call returns the names of the tensors that it makes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[Weight] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._names = 0

    def calls(self, op: str, *inputs: str, count: int = 1, **attributes: Attribute) -> list[str]:
        """Add an operator with `count` outputs."""
        outputs = [self._name(op.lower()) for _ in range(count)]
        self.nodes.append(helper.make_node(op, inputs, outputs, outputs[0], **attributes))
        return outputs

    def call(self, op: str, *inputs: str, **attributes: Attribute) -> str:
        """Add an operator with one output."""
        return self.calls(op, *inputs, **attributes)[0]

    def weight(self, *shape: int, deviation: float, mean: float = 0.0) -> str:
        """Add a tensor of normals to the weight file."""
        end = self.weights[-1].end if self.weights else 0
        offset = -(-end // ALIGNMENT) * ALIGNMENT
        self.weights.append(Weight(self._name("w"), shape, mean, deviation, offset))
        return self.weights[-1].name

    def constant(self, value: ArrayLike, dtype: type = np.float32) -> str:
        """Add a small array to the graph; equal ones are shared."""
        array = np.asarray(value, dtype)
        digest = hashlib.sha256(array.tobytes()).hexdigest()[:12]
        name = f"{array.dtype.name}_{'x'.join(map(str, array.shape))}_{digest}"
        self.constants.setdefault(name, numpy_helper.from_array(array, name))
        return name

    @property
    def parameters(self) -> int:
        """Number of values in the weight file, padding aside."""
        return sum(weight.size for weight in self.weights)

    def model(self, inputs: tuple[Port, ...], output: Port, source: str) -> onnx.ModelProto:
        """The graph as a model whose weights lie outside it.

        Args:
            inputs: what it reads, by the names that the nodes use.
            output: what it writes.
            source: the tensor that becomes the output.

        Returns:
            The model, checked.
        """
        nodes = [*self.nodes, helper.make_node("Identity", [source], [output.name])]
        tensors = [*self.constants.values(), *map(_external, self.weights)]
        graph = helper.make_graph(
            nodes, "denoiser", [*map(_value, inputs)], [_value(output)], tensors
        )
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}_{self._names}"


def _value(port: Port) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
    return helper.make_tensor_value_info(port.name, kind, port.dims)


def _external(weight: Weight) -> onnx.TensorProto:
    tensor = TensorProto(name=weight.name, data_type=TensorProto.FLOAT, dims=weight.shape)
    tensor.data_location = TensorProto.EXTERNAL
    place = {"location": WEIGHTS, "offset": weight.offset, "length": 4 * weight.size}
    for key, value in place.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor
