"""Which part of a denoiser depends on its conditions alone, and how much of that is worth keeping.

Text keys and values, caption projections and embeddings of sizes are the same at every evaluation
of a request. Kept, they cost memory for each branch; computed again, they cost time at each step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import onnx_ir as ir

from denoisert.export.graph.extent import extent_bytes
from denoisert.export.graph.flops import COUNTS, node_flops
from denoisert.export.graph.signature import LANES

PRICE: Final = 16
"""Floating-point operations that a byte must save: reading it back takes as long as a few."""

LAYOUT: Final = frozenset({"Reshape", "Transpose", "Unsqueeze", "Squeeze", "Flatten", "Identity"})
"""What only arranges values stays in the loop, where targets fuse it with attention."""


class Frontier:
    """The division of a graph's nodes.

    Attributes:
        nodes: computed once per request.
        anchored: nodes that ask a condition for the number of lanes, which any input tells.
        values: what the loop takes from them, in the order of the graph.

    Args:
        graph: with shapes; lanes are called "lanes".
        told: names of the inputs that stay the same during a request.
        sizes: name of an axis -> its length, for the costs of one lane.
    """

    def __init__(self, graph: ir.Graph, told: Collection[str], sizes: Mapping[str, int]) -> None:
        self.nodes = told_nodes(graph, told)
        self.anchored: set[ir.Node] = set()
        self._sizes = sizes
        self._told = {value for value in graph.inputs if value.name in told}
        for node in reversed(list(graph)):
            if node in self.nodes and any(map(self._is_needed, node.outputs)):
                self._consider(node)
        outputs = (value for node in graph if node in self.nodes for value in node.outputs)
        self.values = tuple(value for value in outputs if self._is_needed(value))

    @property
    def saved_flops(self) -> int:
        """Operations of one lane that an evaluation does not repeat."""
        return sum(node_flops(node, self._sizes) for node in self.nodes)

    @property
    def more_bytes(self) -> int:
        """Memory of one branch beyond that of the conditions that the loop does without."""
        spared = (value for value in self._told if not self._is_needed(value))
        return self._bytes(self.values) - self._bytes(spared)

    def _consider(self, node: ir.Node) -> None:
        """Leave a node at the frontier in the loop unless keeping what it gives is worth it."""
        if _asks_for_lanes(node):
            self.anchored.add(node)
        elif self._is_worth_keeping(node):
            return
        self.nodes.remove(node)

    def _is_worth_keeping(self, node: ir.Node) -> bool:
        needed = [value for value in node.outputs if self._is_needed(value)]
        if not all(map(_can_cross, needed)):
            return False
        sources = [value for value in dict.fromkeys(node.inputs) if self._is_told(value)]
        if node.op_type in LAYOUT:
            return not all(map(_can_cross, sources))
        if node.op_type in COUNTS:
            return node_flops(node, self._sizes) >= PRICE * self._bytes(needed)
        spared = (value for value in sources if not self._is_needed(value))
        return self._bytes(needed) <= self._bytes(spared)

    def _is_needed(self, value: ir.Value | None) -> bool:
        """Whether the loop reads a value."""
        if value is None:
            return False
        users = (use.node for use in value.uses())
        is_read = any(node not in self.nodes and node not in self.anchored for node in users)
        return is_read or value.is_graph_output()

    def _is_told(self, value: ir.Value | None) -> bool:
        return value is not None and (value in self._told or value.producer() in self.nodes)

    def _bytes(self, values: Iterable[ir.Value | None]) -> int:
        return sum(extent_bytes(value, self._sizes) for value in values if value is not None)


def told_nodes(graph: ir.Graph, told: Collection[str]) -> set[ir.Node]:
    """Nodes that depend on some of these inputs and on no other.

    What depends on nothing at all is a constant and counts as neither; nodes with graphs inside
    count as varying, since those may read anything.
    """
    varying = {value for value in graph.inputs if value.name not in told}
    moving = {value for value in graph.inputs if value.name in told}
    found: set[ir.Node] = set()
    for node in graph:
        if any(value in varying for value in node.inputs) or _has_graph(node):
            varying.update(node.outputs)
        elif any(value in moving for value in node.inputs):
            moving.update(node.outputs)
            found.add(node)
    return found


def _has_graph(node: ir.Node) -> bool:
    kinds = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    return any(attribute.type in kinds for attribute in node.attributes.values())


def _asks_for_lanes(node: ir.Node) -> bool:
    """Whether a node gives the number of lanes and nothing else."""
    if (node.domain, node.op_type) != ("", "Shape") or "end" not in node.attributes:
        return False
    start = node.attributes["start"].as_int() if "start" in node.attributes else 0
    value = node.inputs[0]
    return (start, node.attributes["end"].as_int()) == (0, 1) and _is_by_lane(value)


def _is_by_lane(value: ir.Value | None) -> bool:
    shape = None if value is None else value.shape
    return shape is not None and len(shape) > 0 and str(shape[0]) == LANES


def _can_cross(value: ir.Value | None) -> bool:
    """Whether a value may go from one graph to the other: float32, one row a lane, fixed sizes."""
    if value is None or value.shape is None or not _is_by_lane(value):
        return False
    is_fixed = all(isinstance(size, int) for size in value.shape[1:])
    return is_fixed and value.dtype is ir.DataType.FLOAT and not value.is_graph_output()
