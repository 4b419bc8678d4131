"""Products by int8 weights as integer products, the other operand with a scale for each token.

    y_in = s_i scale_n sum_k (q_ik - zero) W_kn  [+ f sum_k W_kn scale_n]  [+ bias_n]

`operands` has q, s, zero and the floor f. What one lane gets does not depend on its company: with
one scale for a whole tensor, as DynamicQuantizeLinear has, it does.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

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


class _Weight(NamedTuple):
    """An int8 weight (depth, width) and its scales (width,)."""

    numbers: ir.Value
    scale: ir.Value


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
    found = [(node, weight) for node in graph if (weight := _weight(node)) is not None]
    opset = graph.opset_imports.get("", 0)
    if found and opset < FIRST_OPSET:
        raise UnsupportedOperator(
            f"int8 with a scale for each token needs opset {FIRST_OPSET}; the graph has opset "
            f"{opset}. Export it with a newer opset, or compile it in float32."
        )
    operands: dict[ir.Value, Operand] = {}
    for node, weight in found:
        x = node.inputs[0]
        assert x is not None  # required by both operators
        if x not in operands:
            operands[x] = quantised(graph, node, x, _depth(weight))
        _replace(graph, node, operands[x], weight)
    if found:
        RemoveUnusedNodesPass()(model)
    return len(found)


def _weight(node: ir.Node) -> _Weight | None:
    """The weight of x DequantizeLinear(W, scale) [+ C]."""
    if node.domain or node.op_type not in ("MatMul", "Gemm") or node.inputs[1] is None:
        return None
    source = node.inputs[1].producer()
    if source is None or source.op_type != "DequantizeLinear" or len(source.inputs) != 2:
        return None
    numbers, scale = source.inputs
    axis = source.attributes.get("axis")
    if numbers is None or scale is None or axis is None or axis.as_int() != COLUMNS:
        return None
    is_constant = numbers.const_value is not None and scale.const_value is not None
    is_int8 = numbers.dtype is ir.DataType.INT8 and "transB" not in node.attributes
    return _Weight(numbers, scale) if is_constant and is_int8 else None


def _replace(graph: ir.Graph, node: ir.Node, operand: Operand, weight: _Weight) -> None:
    """Write one product out."""
    zero = constant(graph, np.array(operand.zero, np.uint8))
    new = [ir.node("MatMulInteger", [operand.numbers, weight.numbers, zero])]

    def call(op: str, *inputs: ir.Value, **attributes: int) -> None:
        new.append(ir.node(op, [new[-1].outputs[0], *inputs], attributes))

    call("Cast", to=int(ir.DataType.FLOAT))
    call("Mul", weight.scale)
    call("Mul", operand.scale)
    if operand.is_fine:
        call("ReduceSum", int64(graph, PAIR), keepdims=0)
    if operand.floor:
        call("Add", constant(graph, _moved(weight, operand.floor)))
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None:
        call("Add", bias)
    ir.convenience.replace_nodes_and_values(graph, node, [node], new, node.outputs, new[-1].outputs)


def _depth(weight: _Weight) -> int:
    tensor = weight.numbers.const_value
    assert tensor is not None  # checked by `_weight`
    return int(tensor.shape.numpy()[0])


def _array(value: ir.Value) -> NDArray[Any]:
    assert value.const_value is not None  # checked by `_weight`
    return value.const_value.numpy()


def _moved(weight: _Weight, floor: float) -> NDArray[np.float32]:
    """(width,): the floor times the sum of each column."""
    total = _array(weight.numbers).sum(axis=0, dtype=np.int64)
    moved: NDArray[np.float32] = (floor * total * _array(weight.scale)).astype(np.float32)
    return moved
