"""Runs an `onnx_ir` model that has its weights in memory."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from denoisert.export.targets.session import open_graph

Arrays = dict[str, np.ndarray]


def run_model(model: ir.Model, inputs: Arrays) -> Arrays:
    text = ir.to_proto(model).SerializeToString()
    return open_graph(text, root=".", name="a test graph")(inputs)


def kinds(model: ir.Model) -> list[str]:
    return [node.op_type for node in ir.traversal.RecursiveGraphIterator(model.graph)]
