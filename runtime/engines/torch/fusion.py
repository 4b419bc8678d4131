"""Two pairs of nodes that torch has as one call: less memory is read, and half types round once.

Sigmoid and Mul of the same value become Swish; MatMul by a constant and Add of a constant vector
become a MatMul with a third input, the bias.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from denoisert.runtime.engines.torch.graph import Graph, Node


@dataclass(frozen=True, slots=True)
class _Uses:
    """Who writes a value and how often it is read."""

    writers: dict[str, Node]
    reads: Counter[str]
    graph: Graph

    def only(self, name: str, op: str) -> Node | None:
        """The node of this operator that writes a value which is read once, or None."""
        node = self.writers.get(name)
        return node if node is not None and node.op == op and self.reads[name] == 1 else None


def fuse(graph: Graph) -> Graph:
    """The graph with its pairs replaced, each at the place of its second node."""
    reads = Counter(name for node in graph.nodes for name in node.inputs)
    reads.update(port.name for port in graph.outputs)
    uses = _Uses({name: node for node in graph.nodes for name in node.outputs}, reads, graph)
    dropped: set[str] = set()
    nodes: list[Node] = []
    for node in graph.nodes:
        fused, first = _pair(node, uses)
        dropped.update(first)
        nodes.append(fused)
    kept = tuple(node for node in nodes if not dropped.intersection(node.outputs))
    return replace(graph, nodes=kept)


def _pair(node: Node, uses: _Uses) -> tuple[Node, tuple[str, ...]]:
    """The node, or what it and the one before it become, and the outputs that are then unread."""
    if node.op not in ("Mul", "Add"):
        return node, ()
    for index, name in enumerate(node.inputs):
        other = node.inputs[1 - index]
        fused = _swish(node, name, other, uses) or _biased(node, name, other, uses)
        if fused is not None:
            return fused, (name,)
    return node, ()


def _swish(node: Node, gate: str, value: str, uses: _Uses) -> Node | None:
    """x sigmoid(x), or None."""
    first = uses.only(gate, "Sigmoid") if node.op == "Mul" else None
    if first is None or first.inputs != (value,):
        return None
    return Node("Swish", (value,), node.outputs, {}, node.name)


def _biased(node: Node, product: str, bias: str, uses: _Uses) -> Node | None:
    """x w + b, or None."""
    first = uses.only(product, "MatMul") if node.op == "Add" else None
    if first is None or len(first.inputs) != 2:
        return None
    matrix, vector = (uses.graph.weights.get(name) for name in (first.inputs[1], bias))
    if matrix is None or vector is None or matrix.dim() != 2:
        return None
    if vector.shape != matrix.shape[1:]:
        return None
    return Node("MatMul", (*first.inputs, bias), node.outputs, {}, node.name)
