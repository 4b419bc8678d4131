"""ONNX Runtime on the CPU: the embedded default, and the oracle of every graph.

Two lowering passes, then a plain ONNX file that shares the graph's weights: saving ONNX Runtime's
own rewritten form was measured to be no faster to load, and it is tied to one kind of CPU.
"""

from __future__ import annotations

from functools import partial

import onnx_ir as ir
import onnxruntime as ort

from denoisert.export.bundle import Draft
from denoisert.export.graph.attention_3d import lower_attention
from denoisert.export.graph.group_norm import lower_group_norm
from denoisert.export.graph.store import store_graph
from denoisert.export.targets.session import open_graph
from denoisert.export.targets.target import Built

NAME = "onnxruntime"


class OnnxRuntime:
    """The target "onnxruntime"."""

    @property
    def version(self) -> str:
        """Of ONNX Runtime."""
        return str(ort.__version__)

    def build(
        self, component: str, model: ir.Model, weights: tuple[str, ...], draft: Draft
    ) -> Built:
        """Lower a copy of the graph and store it.

        Opening it raises `UnsupportedOperator` where ONNX Runtime lacks one of its operators, and
        `ExportError` where it refuses the graph.
        """
        lowered = model.clone()
        lower_attention(lowered)
        lower_group_norm(lowered)
        path = f"engines/{NAME}/{component}.onnx"
        entry, text = store_graph(lowered, path, weights, draft)
        return Built(entry, partial(open_graph, text, draft.folder, path))
