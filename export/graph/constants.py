"""Small constants that a pass needs, one initialiser for each content."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


def constant(graph: ir.Graph, array: NDArray[Any]) -> ir.Value:
    """The initialiser with this content, added to the graph on first use.

    Args:
        graph: the main graph; its initialisers are visible in its subgraphs.
        array: any shape and dtype.
    """
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    name = f"denoisert.{digest.hexdigest()[:16]}"
    if name in graph.initializers:
        return graph.initializers[name]
    value = ir.Value(name=name, const_value=ir.tensor(np.asarray(array, order="C"), name=name))
    value.shape = ir.Shape(array.shape)
    value.dtype = ir.DataType.from_numpy(array.dtype)
    graph.register_initializer(value)
    return value


def int64(graph: ir.Graph, *numbers: int) -> ir.Value:
    """The one-dimensional int64 constant of these numbers: axes, shapes, bounds."""
    return constant(graph, np.array(numbers, np.int64))
