"""A small denoiser whose rows look at text, as plain ONNX."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from onnx import NodeProto, TensorProto
from onnx.helper import make_node

from tests.export.small_graphs import graph_of

WIDTH, ROWS, TOKENS, HEADS = 32, 4, 6, 2
Dims = tuple[int | str, ...]
GENERATOR = np.random.default_rng(3)


def heads(name: str) -> list[NodeProto]:
    """(lanes, L, 32) -> (lanes, 2, L, 16)."""
    return [
        make_node("Reshape", [name, "split"], [f"{name}_rows"]),
        make_node("Transpose", [f"{name}_rows"], [f"{name}_heads"], perm=[0, 2, 1, 3]),
    ]


KEYS = [
    make_node("MatMul", ["text", "w_key"], ["product"]),
    make_node("Add", ["product", "bias"], ["key"]),
    *heads("key"),
    make_node("MatMul", ["text", "w_value"], ["value"]),
    *heads("value"),
]
QUERIES = [make_node("MatMul", ["x", "w_query"], ["query"]), *heads("query")]
ATTENDS = [
    make_node("Attention", ["query_heads", "key_heads", "value_heads"], ["attended"]),
    make_node("Transpose", ["attended"], ["turned"], perm=[0, 2, 1, 3]),
    make_node("Reshape", ["turned", "merge"], ["merged"]),
    make_node("Reshape", ["time", "column"], ["gain"]),
    make_node("Mul", ["merged", "gain"], ["y"]),
]
MERGED = ["key", "value"]


def weights(width: int) -> dict[str, np.ndarray]:
    drawn = {
        name: GENERATOR.standard_normal((size, WIDTH)).astype(np.float32) / 8
        for name, size in (("w_key", width), ("w_value", width), ("w_query", WIDTH))
    }
    numbers = {"split": [0, 0, HEADS, -1], "merge": [0, 0, WIDTH], "column": [-1, 1, 1]}
    bias = GENERATOR.standard_normal(WIDTH).astype(np.float32)
    return {**drawn, "bias": bias, **{name: np.array(row) for name, row in numbers.items()}}


def attention(
    nodes: Sequence[NodeProto] = (*KEYS, *QUERIES, *ATTENDS),
    *,
    width: int = 64,
    rows: int = ROWS,
    tokens: int = TOKENS,
    lanes: int | str = "lanes",
    more: dict[str, Dims] | None = None,
    constants: dict[str, np.ndarray] | None = None,
) -> ir.Model:
    """Rows x that look at tokens text, times a gain for each lane."""
    inputs = {"x": (lanes, rows, WIDTH), "time": (lanes,), "text": (lanes, tokens, width)}
    sizes = {**inputs, **(more or {})}
    known = {**weights(width), **(constants or {})}
    given = {name: array for name, array in known.items() if _is_read(name, nodes)}
    kinds_of = {"label": TensorProto.INT64, "mask": TensorProto.INT64}
    types = {name: kind for name, kind in kinds_of.items() if name in sizes}
    return graph_of(nodes, sizes, {"y": (lanes, rows, WIDTH)}, given, opset=23, kinds=types)


def _is_read(name: str, nodes: Sequence[NodeProto]) -> bool:
    return any(name in node.input for node in nodes)
