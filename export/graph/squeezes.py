"""Squeezes of axes whose size is not 1, which torch leaves alone and ONNX forbids.

torch's exporter writes `x.squeeze(1)` as a Squeeze of axis 1 whatever its size, without a word; the
graph is refused or fails when it runs. Found with torch 2.13, for example in PixArt's transformer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx_ir as ir

from denoisert.export.graph.constants import int64

FIRST_OPSET: Final = 13
"""Before it, axes were an attribute."""


def mend_squeezes(model: ir.Model) -> int:
    """Let every Squeeze take the axes of size 1 alone, in place.

    An axis is left alone if its size is known and not 1. Where it is not known, what the exporter
    noted about the result tells: as many axes as the operand means that torch squeezed none.

    Args:
        model: fresh from its exporter, so that shapes are those that it noted.

    Returns:
        How many nodes were wrong.
    """
    if model.graph.opset_imports.get("", 0) < FIRST_OPSET:
        return 0
    nodes = list(ir.traversal.RecursiveGraphIterator(model.graph))
    return sum(_mend(model.graph, node) for node in nodes)


def _mend(main: ir.Graph, node: ir.Node) -> bool:
    if (node.domain, node.op_type) != ("", "Squeeze") or len(node.inputs) < 2:
        return False
    operand, axes = node.inputs[0], _constant(node.inputs[1])
    if operand is None or axes is None or operand.shape is None:
        return False
    sizes, result = tuple(operand.shape), node.outputs[0]
    is_kept = result.shape is not None and len(result.shape) == len(sizes)
    wrong = [axis for axis in axes if is_kept or _is_larger(sizes, axis)]
    if not wrong:
        return False
    right = [axis for axis in axes if axis not in wrong]
    if right:
        node.replace_input_with(1, int64(main, *right))
    else:
        _bypass(node, operand)
    return True


def _is_larger(sizes: Sequence[int | ir.SymbolicDim], axis: int) -> bool:
    size = sizes[axis]
    return isinstance(size, int) and size != 1


def _bypass(node: ir.Node, operand: ir.Value) -> None:
    """Put the operand in the place of the result, which keeps its name where the graph gives it."""
    if node.graph is None:
        return
    identity = ir.node("Identity", [operand])
    identity.outputs[0].shape, identity.outputs[0].type = operand.shape, operand.type
    ir.convenience.replace_nodes_and_values(
        node.graph, node, [node], [identity], node.outputs, identity.outputs
    )


def _constant(value: ir.Value | None) -> list[int] | None:
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return None if tensor is None else np.atleast_1d(tensor.numpy()).tolist()
