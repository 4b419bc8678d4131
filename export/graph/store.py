"""A graph as a file of the bundle, and the line of the manifest that describes it."""

from __future__ import annotations

import onnx_ir as ir

from denoisert.export.bundle import Draft
from denoisert.export.graph.ports import read_ports
from denoisert.runtime.bundle.manifest import GraphEntry


def store_graph(
    model: ir.Model, path: str, weights: tuple[str, ...], draft: Draft
) -> tuple[GraphEntry, bytes]:
    """Write a graph.

    Args:
        model: its large weights lie in `weights`.
        path: where in the bundle.
        weights: files of the bundle that it reads.
        draft: the bundle while it is written.

    Returns:
        The manifest's entry, and the file's content.
    """
    text = ir.to_proto(model).SerializeToString(deterministic=True)
    draft.write(path, text)
    entry = GraphEntry(
        path=path,
        weights=weights,
        inputs=read_ports(model.graph.inputs),
        outputs=read_ports(model.graph.outputs),
        opset=model.graph.opset_imports[""],
    )
    return entry, text
