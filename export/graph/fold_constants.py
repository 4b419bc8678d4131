"""Whatever depends on constants alone is computed here, once, instead of at every evaluation.

A graph whose free sizes a card has fixed carries arithmetic on shapes, branches that only one of
them takes and sequences of a known length; several targets refuse those. Folding removes all three.
"""

from __future__ import annotations

from typing import Final

import onnx_ir as ir
from onnx_ir.passes.common import IdentityEliminationPass, RemoveUnusedNodesPass
from onnxscript.optimizer import fold_constants as fold

SMALL: Final = 1024
"""Elements of a constant that may always be folded into others."""

LARGEST: Final = 65_536
"""Elements of a result that may take the place of smaller constants."""

STANDARD: Final = ("", "ai.onnx")

WEIGHT_OPERATORS: Final = frozenset({"Cast", "Transpose", "Reshape", "Squeeze", "Unsqueeze"})
"""What is folded into a weight of any size, if nothing else reads it and it does not grow."""


def fold_constants(model: ir.Model) -> int:
    """Replace in place what constants determine, until nothing changes.

    A weight is read only where it is folded, one tensor at a time, and becomes one in memory.

    Args:
        model: any opset.

    Returns:
        How many nodes fewer the graph has.
    """
    before = _count(model)
    is_changed = True
    while is_changed:
        result = fold(
            model,
            onnx_shape_inference=True,
            input_size_limit=SMALL,
            output_size_limit=LARGEST,
            should_fold=_is_foldable,
        )
        is_changed = bool(result.modified)
        if is_changed:
            IdentityEliminationPass()(model)
            RemoveUnusedNodesPass()(model)
    return before - _count(model)


def _is_foldable(node: ir.Node) -> bool | None:
    """Whether to fold: True for what rewrites one weight, None for the limits to decide."""
    if node.domain not in STANDARD or node.op_type not in WEIGHT_OPERATORS or not node.inputs:
        return None
    weight, result = node.inputs[0], node.outputs[0]
    tensor = ir.convenience.get_const_tensor(weight) if weight is not None else None
    if weight is None or tensor is None or tensor.size <= SMALL:
        return None
    is_shared = len(weight.uses()) > 1 or weight.is_graph_output()
    return not is_shared and _itemsize(result, tensor) <= tensor.dtype.itemsize


def _itemsize(result: ir.Value, tensor: ir.TensorProtocol) -> float:
    """Bytes of one element of what a node makes of a tensor."""
    node = result.producer()
    if node is not None and node.op_type == "Cast":
        return ir.DataType(node.attributes["to"].as_int()).itemsize
    return tensor.dtype.itemsize


def _count(model: ir.Model) -> int:
    return sum(1 for _ in ir.traversal.RecursiveGraphIterator(model.graph))
