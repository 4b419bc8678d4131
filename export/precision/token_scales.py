"""Products by int8 weights as integer products, the other operand with a scale for each token.

    y_in = s_i scale_n sum_k (q_ik - zero) W_kn  [+ f sum_k W_kn scale_n]  [+ bias_n]

`operands` has q, s, zero and the floor f. What one lane gets does not depend on its company: with
one scale for a whole tensor, as DynamicQuantizeLinear has, it does.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from denoisert.export.graph.constants import constant, int64
from denoisert.export.precision.int8 import COLUMNS
from denoisert.export.precision.operands import PAIR, Operand, quantised
from denoisert.runtime.errors import UnsupportedOperator

FIRST_OPSET: Final = 21
"""The first in which QuantizeLinear has blocks."""


class _Product(NamedTuple):
    """x W [+ C] of one node.

    Args:
        node: MatMul or Gemm.
        x: its left operand.
        numbers: int8, (depth, width).
        scale: float32, (width,).
        tensors: the contents of both.
    """

    node: ir.Node
    x: ir.Value
    numbers: ir.Value
    scale: ir.Value
    tensors: tuple[ir.TensorProtocol, ir.TensorProtocol]


def scale_tokens(model: ir.Model) -> int:
    """Rewrite in place every product by a weight that `quantise` made int8.

    Args:
        model: opset 21 or later.

    Returns:
        How many products were rewritten.

    Raises:
        UnsupportedOperator: an opset below 21, which has no scales of rows.
    """
    graph = model.graph
    found = [product for node in graph if (product := _product(node)) is not None]
    opset = graph.opset_imports.get("", 0)
    if found and opset < FIRST_OPSET:
        raise UnsupportedOperator(
            f"int8 with a scale for each token needs opset {FIRST_OPSET}; the graph has opset "
            f"{opset}. Export it with a newer opset, or compile it in float32."
        )
    operands: dict[ir.Value, Operand] = {}
    for product in found:
        if product.x not in operands:
            depth = product.tensors[0].shape.numpy()[0]
            operands[product.x] = quantised(graph, product.node, product.x, depth)
        _replace(graph, product, operands[product.x])
    if found:
        RemoveUnusedNodesPass()(model)
    return len(found)


def _product(node: ir.Node) -> _Product | None:
    """The product of x and DequantizeLinear(W, scale)."""
    if node.domain or node.op_type not in ("MatMul", "Gemm") or "transB" in node.attributes:
        return None
    x, weight = node.inputs[:2]
    source = weight.producer() if weight is not None else None
    if x is None or source is None or not _is_by_columns(source):
        return None
    numbers, scale = source.inputs
    if numbers is None or scale is None or numbers.dtype is not ir.DataType.INT8:
        return None
    if numbers.const_value is None or scale.const_value is None:
        return None
    return _Product(node, x, numbers, scale, (numbers.const_value, scale.const_value))


def _is_by_columns(node: ir.Node) -> bool:
    """Whether a node dequantises with a scale for each column, symmetrically."""
    axis = node.attributes.get("axis")
    is_symmetric = node.op_type == "DequantizeLinear" and len(node.inputs) == 2
    return is_symmetric and axis is not None and axis.as_int() == COLUMNS


def _replace(graph: ir.Graph, product: _Product, operand: Operand) -> None:
    """Write one product out."""
    node = product.node
    zero = constant(graph, np.array(operand.zero, np.uint8))
    new = [ir.node("MatMulInteger", [operand.numbers, product.numbers, zero])]

    def call(op: str, *inputs: ir.Value, **attributes: int) -> None:
        new.append(ir.node(op, [new[-1].outputs[0], *inputs], attributes))

    call("Cast", to=int(ir.DataType.FLOAT))
    call("Mul", product.scale)
    call("Mul", operand.scale)
    if operand.is_fine:
        call("ReduceSum", int64(graph, PAIR), keepdims=0)
    if operand.floor:
        call("Add", constant(graph, _moved(product, operand.floor)))
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None:
        call("Add", bias)
    ir.convenience.replace_nodes_and_values(graph, node, [node], new, node.outputs, new[-1].outputs)


def _moved(product: _Product, floor: float) -> NDArray[np.float32]:
    """(width,): the floor times the sum of each column."""
    numbers, scale = (tensor.numpy() for tensor in product.tensors)
    moved: NDArray[np.float32] = floor * numbers.sum(axis=0, dtype=np.int64) * scale
    return moved.astype(np.float32)
