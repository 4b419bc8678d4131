"""Masks of Attention that are one row for all queries, spread over them.

The standard broadcasts a mask (B, 1, 1, L) over the queries, and torch's exporter writes such masks
for every padded prompt. ONNX Runtime 1.32 wants the rows and fails without them ("inconsistent
q_sequence_length").
"""

from __future__ import annotations

from typing import Final

import onnx_ir as ir

from denoisert.export.graph.constants import int64

QUERIES: Final = -2
"""Axis of queries in a mask, and in an operand (B, heads, L, width) or (B, L, channels) alike."""


def spread_masks(model: ir.Model) -> int:
    """Repeat in place every mask of one row as often as there are queries.

    Args:
        model: opset 23 or later has the operator; others are left alone.

    Returns:
        How many nodes were rewritten.
    """
    nodes = list(ir.traversal.RecursiveGraphIterator(model.graph))
    return sum(_spread(model.graph, node) for node in nodes)


def _spread(main: ir.Graph, node: ir.Node) -> bool:
    if (node.domain, node.op_type) != ("", "Attention") or len(node.inputs) < 4:
        return False
    query, mask = node.inputs[0], node.inputs[3]
    if query is None or mask is None or query.shape is None or mask.shape is None:
        return False
    if len(mask.shape) < 2 or mask.shape[QUERIES] != 1 or query.shape[QUERIES] == 1:
        return False
    length = _length(main, query)
    ones = int64(main, *([1] * (len(mask.shape) + QUERIES)))
    shape = ir.node("Concat", [ones, length[-1].outputs[0], int64(main, 1)], {"axis": 0})
    spread = ir.node("Expand", [mask, shape.outputs[0]])
    spread.outputs[0].type = mask.type
    sizes = (*mask.shape[:QUERIES], query.shape[QUERIES], mask.shape[-1])
    spread.outputs[0].shape = ir.Shape(sizes)
    if node.graph is None:
        return False
    node.graph.insert_before(node, [*length, shape, spread])
    node.replace_input_with(3, spread.outputs[0])
    return True


def _length(main: ir.Graph, query: ir.Value) -> list[ir.Node]:
    """Nodes, the last of which gives the number of queries as a vector of one."""
    if query.shape is None:
        return []
    axis = len(query.shape) + QUERIES
    return [ir.node("Shape", [query], {"start": axis, "end": axis + 1})]
