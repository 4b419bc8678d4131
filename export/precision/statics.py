"""Values that follow from constants and shapes alone: they have a type only when somebody reads it.

A weight that is transposed in front of a half product is half before it is transposed; the same
frequencies may be float32 where phases are computed from them.
"""

from __future__ import annotations

from typing import Final

import onnx_ir as ir

SHAPES: Final = frozenset(("Shape", "Size"))

DRAWN: Final = frozenset(("RandomNormal", "RandomUniform", "Multinomial", "Bernoulli"))
"""Operators that give something else at every call."""

MOVING: Final = frozenset(
    (
        "Concat",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Trilu",
        "Unsqueeze",
        "Where",
    )
)
"""Operators that compute nothing: rounding before them and after them is the same."""


def static_values(graph: ir.Graph) -> frozenset[ir.Value]:
    """Initialisers, and what is computed from them and from shapes."""
    found: set[ir.Value] = set(graph.initializers.values())
    for node in graph:
        given = [value for value in node.inputs if value is not None]
        if node.op_type in SHAPES or (given and node.op_type not in DRAWN and found >= set(given)):
            found.update(node.outputs)
    return frozenset(found)
