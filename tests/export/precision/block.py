"""A transformer block as small as quantising allows: tokens, lanes, one shared operand, an end."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx import helper

from tests.export.running import Arrays
from tests.export.small_graphs import graph_of

TOKENS, WIDTH, INNER, TOLD, ENDS = 5, 192, 256, 512, 8
LARGE = 6
"""Products that are worth eight bits: query, key, value, into and out of the middle, modulation."""

node = helper.make_node


def block(opset: int = 23) -> ir.Model:
    """Modulation from one row a lane, attention, a feed-forward layer and a last product."""
    draw = np.random.default_rng(11)

    def weight(*sizes: int) -> np.ndarray:
        return (draw.standard_normal(sizes) / sizes[0] ** 0.5).astype(np.float32)

    weights = {
        "modulation": (weight(TOLD, 3 * WIDTH).T * np.float32(0.5)).copy(),
        "query": weight(WIDTH, WIDTH),
        "key": weight(WIDTH, WIDTH),
        "value": weight(WIDTH, WIDTH),
        "into": weight(WIDTH, INNER),
        "out": weight(INNER, WIDTH),
        "end": weight(WIDTH, ENDS),
        "modulation.bias": draw.standard_normal(3 * WIDTH).astype(np.float32),
        "into.bias": draw.standard_normal(INNER).astype(np.float32),
        "ones": np.ones(WIDTH, np.float32),
        "axis": np.array([1], np.int64),
    }
    heads = {"q_num_heads": 3, "kv_num_heads": 3}
    nodes = [
        node("Sigmoid", ["told"], ["gate"]),
        node("Mul", ["told", "gate"], ["silu"]),
        node("Gemm", ["silu", "modulation", "modulation.bias"], ["wide"], "modulation", transB=1),
        node("Unsqueeze", ["wide", "axis"], ["spread"]),
        node("Split", ["spread"], ["shift", "scale", "step"], axis=-1, num_outputs=3),
        node("LayerNormalization", ["x", "ones"], ["normal"], axis=-1),
        node("Mul", ["normal", "scale"], ["scaled"]),
        node("Add", ["scaled", "shift"], ["h"]),
        *(node("MatMul", ["h", name], [f"{name}.rows"], name) for name in ("query", "key")),
        node("MatMul", ["h", "value"], ["value.rows"], "value"),
        node("Attention", ["query.rows", "key.rows", "value.rows"], ["attended"], **heads),
        node("Mul", ["attended", "step"], ["stepped"]),
        node("Add", ["x", "stepped"], ["after"]),
        node("MatMul", ["after", "into"], ["into.rows"], "into"),
        node("Add", ["into.rows", "into.bias"], ["inner"]),
        node("Gelu", ["inner"], ["active"], approximate="tanh"),
        node("MatMul", ["active", "out"], ["out.rows"], "out"),
        node("Add", ["after", "out.rows"], ["whole"]),
        node("MatMul", ["whole", "end"], ["y"], "end"),
    ]
    return graph_of(
        nodes,
        {"x": ("lanes", TOKENS, WIDTH), "told": ("lanes", TOLD)},
        {"y": ("lanes", TOKENS, ENDS)},
        weights,
        opset=opset,
    )


def drawn(lanes: int, seed: int = 3) -> Arrays:
    """Lanes of very different sizes, so that one scale for all of them would be felt."""
    draw = np.random.default_rng(seed)
    loud = np.exp(2 * draw.standard_normal(lanes))
    x = draw.standard_normal((lanes, TOKENS, WIDTH)) * loud[:, None, None]
    told = draw.standard_normal((lanes, TOLD)) * loud.clip(0.3, 1.5)[:, None]
    return {"x": x.astype(np.float32), "told": told.astype(np.float32)}


def apart(found: np.ndarray, expected: np.ndarray) -> float:
    """Relative L2 error."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
