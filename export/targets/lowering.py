"""A graph in the form that a target's library runs best: passes, then dtype."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import onnx_ir as ir

from denoisert.export.graph.attention_3d import lower_attention
from denoisert.export.graph.group_norm import lower_group_norm
from denoisert.runtime.engines.target import (
    EngineTarget,
    OnnxRuntime,
    OpenVino,
    TensorRt,
    TensorRtRtx,
)

Pass = Callable[[ir.Model], int]

PASSES: Final[Mapping[type[EngineTarget], tuple[Pass, ...]]] = MappingProxyType(
    {
        OnnxRuntime: (lower_attention, lower_group_norm),
        OpenVino: (lower_attention, lower_group_norm),
        TensorRtRtx: (),
        TensorRt: (),
    }
)
"""What each library is given instead of the bundle's own graph, measured to run faster there."""


def lowered(model: ir.Model, target: EngineTarget) -> ir.Model:
    """A copy of a graph for a target, in float32; large weights are not copied.

    Args:
        model: it is not changed.
        target: what will run it.
    """
    copy = model.clone()
    for rewrite in PASSES[type(target)]:
        rewrite(copy)
    return copy
