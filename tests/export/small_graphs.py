"""Graphs of a few nodes, written with plain ONNX helpers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx import NodeProto, TensorProto, helper, numpy_helper

Dims = Sequence[int | str]
FLOAT = TensorProto.FLOAT


def graph_of(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Dims],
    outputs: Mapping[str, Dims | None],
    weights: Mapping[str, np.ndarray] | None = None,
    *,
    opset: int = 20,
    kinds: Mapping[str, int] | None = None,
) -> ir.Model:
    """A model whose values have inferred shapes.

    Args:
        nodes: in order.
        inputs: name -> sizes.
        outputs: name -> sizes, None where they are to be found out.
        weights: initialisers.
        opset: of the standard operators.
        kinds: name of an input or output -> its type, float32 where it is not named.
    """
    types = kinds or {}
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info(n, types.get(n, FLOAT), list(d)) for n, d in inputs.items()],
        [helper.make_tensor_value_info(n, types.get(n, FLOAT), d) for n, d in outputs.items()],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return ir.from_proto(onnx.shape_inference.infer_shapes(model))
