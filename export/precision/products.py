"""Which products of a graph are worth eight bits: large, by constants, and not the answer itself.

Sizes follow from what quantising the other operand costs at run time; what is left out by its
place is left out for accuracy, since nothing behind it averages its errors.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

import onnx_ir as ir

from denoisert.export.precision.rewrite import name_of

LEAST_DEPTH: Final = 128
"""Channels that are summed over; shallower products read latents, times and other raw inputs."""

LEAST_FOR_TOKENS: Final = 2**15
"""Weights of a product whose operand has a row for every token."""

LEAST_FOR_LANES: Final = 2**18
"""Weights of a product whose operand has one row for every lane: it waits for memory alone."""

ENDS: Final = frozenset(("MatMul", "Gemm", "Conv", "ConvTranspose", "Attention"))
"""What is behind the last of them reaches the outputs unmixed."""

MATRIX: Final = 2


class Product(NamedTuple):
    """x W of one node.

    Args:
        node: MatMul or Gemm.
        weight: an initialiser.
        tensor: its content, (depth, width), or (width, depth) where it is turned.
        is_turned: whether the node multiplies by the transposed weight.
    """

    node: ir.Node
    weight: ir.Value
    tensor: ir.TensorProtocol
    is_turned: bool


def products(model: ir.Model, keep: Collection[str]) -> list[Product]:
    """The products that are worth it, in the graph's order.

    Args:
        model: of its main graph; branches and loops inside it are not looked into.
        keep: names of nodes, see `name_of`, that are left out.
    """
    last = _last(model.graph)
    found = []
    for node in model.graph:
        product = _product(node)
        is_kept = node in last or name_of(node) in keep
        if product is not None and not is_kept and _is_large(product):
            found.append(product)
    return found


def _product(node: ir.Node) -> Product | None:
    if node.domain or node.op_type not in ("MatMul", "Gemm"):
        return None
    weight = node.inputs[1]
    tensor = weight.const_value if weight is not None else None
    if weight is None or tensor is None or not weight.is_initializer():
        return None
    is_matrix = tensor.dtype is ir.DataType.FLOAT and len(tensor.shape) == MATRIX
    if not is_matrix or weight.is_graph_input() or not _is_plain(node):
        return None
    turned = node.attributes.get("transB")
    return Product(node, weight, tensor, turned is not None and turned.as_int() == 1)


def _is_plain(node: ir.Node) -> bool:
    """Whether a Gemm is no more than x W + C."""
    turned, gains = node.attributes.get("transA"), ("alpha", "beta")
    is_scaled = any(
        node.attributes[name].as_float() != 1.0 for name in gains if name in node.attributes
    )
    return not is_scaled and (turned is None or turned.as_int() == 0)


def _is_large(product: Product) -> bool:
    x = product.node.inputs[0]
    depth = product.tensor.shape.numpy()[1 if product.is_turned else 0]
    is_per_lane = x is not None and len(x.shape or ()) == MATRIX
    is_per_lane = is_per_lane or product.node.op_type == "Gemm"
    least = LEAST_FOR_LANES if is_per_lane else LEAST_FOR_TOKENS
    return depth >= LEAST_DEPTH and product.tensor.size >= least


def _last(graph: ir.Graph) -> frozenset[ir.Node]:
    """Nodes that mix channels and reach an output without another one behind them."""
    found: set[ir.Node] = set()
    seen: set[ir.Node] = set()
    ahead = [value.producer() for value in graph.outputs]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.op_type in ENDS:
            found.add(node)
        else:
            ahead += [value.producer() for value in node.inputs if value is not None]
    return frozenset(found)
