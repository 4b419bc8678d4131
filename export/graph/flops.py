"""Floating-point operations of a node: of products, which are nearly all of a network's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import Final

import onnx_ir as ir

from denoisert.export.graph.extent import extent

Shape = tuple[int, ...]
Count = Callable[[ir.Node, list[Shape], Shape], int]


def node_flops(node: ir.Node, sizes: Mapping[str, int]) -> int:
    """Multiplications and additions of a product, a convolution or an attention.

    Args:
        node: of a graph with shapes.
        sizes: name of an axis -> its length.

    Returns:
        0 for everything else, and where a shape is not known.
    """
    count = COUNTS.get(node.op_type) if node.domain == "" else None
    if count is None:
        return 0
    inputs = [extent(value, sizes) for value in node.inputs[:2]]
    result = extent(node.outputs[0], sizes)
    known = [shape for shape in inputs if shape is not None]
    if result is None or len(known) < 2:
        return 0
    return count(node, known, result)


def graph_flops(model: ir.Model, sizes: Mapping[str, int]) -> int:
    """Of all nodes together."""
    nodes = ir.traversal.RecursiveGraphIterator(model.graph)
    return sum(node_flops(node, sizes) for node in nodes)


def _product(node: ir.Node, inputs: list[Shape], result: Shape) -> int:
    """2 m n k."""
    return 2 * prod(result) * inputs[0][-1] if inputs[0] else 0


def _general_product(node: ir.Node, inputs: list[Shape], result: Shape) -> int:
    is_turned = "transA" in node.attributes and node.attributes["transA"].as_int() == 1
    return 2 * prod(result) * inputs[0][0 if is_turned else -1]


def _convolution(node: ir.Node, inputs: list[Shape], result: Shape) -> int:
    return 2 * prod(result) * prod(inputs[1][1:])


def _transposed_convolution(node: ir.Node, inputs: list[Shape], result: Shape) -> int:
    return 2 * prod(inputs[0]) * prod(inputs[1][1:])


def _attention(node: ir.Node, inputs: list[Shape], result: Shape) -> int:
    """Scores and their weighted sum, 4 B L L' channels, in either form."""
    query, key = inputs
    return 4 * prod(query) * key[-2]


COUNTS: Final[Mapping[str, Count]] = MappingProxyType(
    {
        "MatMul": _product,
        "Gemm": _general_product,
        "Conv": _convolution,
        "ConvTranspose": _transposed_convolution,
        "Attention": _attention,
    }
)
"""Operator -> its count."""
