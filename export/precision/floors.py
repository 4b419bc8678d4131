"""Functions with a least value: what they give needs no sign, so eight bits are twice as fine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import onnx_ir as ir

FLOORS: Final[Mapping[str, float]] = {"Gelu": -0.1701, "Relu": 0.0, "Sigmoid": 0.0, "Softmax": 0.0}
"""Operator -> a number not above anything it gives; GELU has -0.16997, its tanh form -0.17004."""


def floor_of(value: ir.Value) -> float | None:
    """A number that nothing in the value is below, as far as its own operator tells.

    Args:
        value: of any graph.

    Returns:
        0 or less; None if there is none.
    """
    node = value.producer()
    return None if node is None or node.domain else FLOORS.get(node.op_type)
