"""Weights of large products as int8, one scale for each column: a quarter of the bytes.

    W_kn ~ scale_n q_kn, q_kn = round(W_kn / scale_n), scale_n = max_k |W_kn| / 127

The graph stays standard ONNX: a DequantizeLinear stands between q and the product. OpenVINO
multiplies in integers from that, if it is given a size of groups for the other operand; for ONNX
Runtime `token_scales` writes the integer product out.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from denoisert.export.precision.products import Product, products
from denoisert.export.precision.rewrite import NOTHING
from denoisert.runtime.errors import UnsupportedOperator

LARGEST: Final = 127
"""Of int8 on both sides of zero; -128 is not used."""

COLUMNS: Final = 1
"""Axis of the scales of a (depth, width) weight."""

FIRST_OPSET: Final = 13
"""The first in which DequantizeLinear has an axis."""


def quantise(model: ir.Model, keep: Collection[str] = NOTHING) -> int:
    """Quantise the weights of large products in place.

    Args:
        model: float32, before or after attention and norms are lowered. Its large weights may lie
            in files; they are quantised when they are read next.
        keep: names of nodes, see `name_of`, whose weights stay float32.

    Returns:
        How many products have int8 weights now.

    Raises:
        UnsupportedOperator: an opset below 13, which has no scales of columns.
    """
    found = products(model, keep)
    opset = model.graph.opset_imports.get("", 0)
    if found and opset < FIRST_OPSET:
        raise UnsupportedOperator(
            f"int8 weights need opset {FIRST_OPSET}; the graph has opset {opset}. Export it with "
            "a newer opset, or compile it in float32."
        )
    made: dict[tuple[ir.Value, bool], ir.Value] = {}
    for product in found:
        key = (product.weight, product.is_turned)
        if key not in made:
            made[key] = _weight(model.graph, product)
        product.node.replace_input_with(1, made[key])
        product.node.attributes.pop("transB", None)
    _forget(model.graph, [product.weight for product in found])
    return len(found)


def _weight(graph: ir.Graph, product: Product) -> ir.Value:
    """The dequantised weight, (depth, width), computed in front of its first reader."""
    name = f"{product.weight.name}.turned" if product.is_turned else str(product.weight.name)
    scale = _scale(_matrix(product))
    numbers = _numbers(product, scale, f"{name}.int8")
    scales = ir.tensor(scale, name=f"{name}.scale")
    inputs = [_initializer(graph, numbers), _initializer(graph, scales)]
    node = ir.node("DequantizeLinear", inputs, {"axis": COLUMNS}, name=f"{name}.dequantised")
    node.outputs[0].name = f"{name}.float32"
    node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    node.outputs[0].shape = ir.Shape(numbers.shape)
    graph.insert_before(product.node, node)
    return node.outputs[0]


def _matrix(product: Product) -> NDArray[Any]:
    """(depth, width)."""
    array = np.asarray(product.tensor.numpy())
    return array.T if product.is_turned else array


def _scale(matrix: NDArray[Any]) -> NDArray[np.float32]:
    """Of each column; 1 for a column of zeros."""
    peaks = np.abs(matrix).max(axis=0).astype(np.float32)
    return np.where(peaks > 0, peaks / np.float32(LARGEST), np.float32(1)).astype(np.float32)


def _numbers(product: Product, scale: NDArray[np.float32], name: str) -> ir.LazyTensor:
    """The rounded weight; nothing is held until somebody reads it."""
    sizes = tuple(product.tensor.shape.numpy())

    def compute() -> ir.TensorProtocol:
        rounded = np.rint(_matrix(product) / scale)
        numbers = np.clip(rounded, -LARGEST, LARGEST).astype(np.int8)
        return ir.Tensor(np.ascontiguousarray(numbers), name=name)

    shape = ir.Shape(sizes[::-1] if product.is_turned else sizes)
    return ir.LazyTensor(compute, ir.DataType.INT8, shape, name=name)


def _initializer(graph: ir.Graph, tensor: ir.TensorProtocol) -> ir.Value:
    value = ir.Value(
        name=tensor.name,
        type=ir.TensorType(tensor.dtype),
        shape=ir.Shape(tensor.shape.numpy()),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value


def _forget(graph: ir.Graph, weights: Collection[ir.Value]) -> None:
    """Drop float32 weights that nobody reads any more."""
    for weight in weights:
        if not weight.uses() and not weight.is_graph_output():
            graph.initializers.pop(str(weight.name), None)
