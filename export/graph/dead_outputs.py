"""Outputs that nobody reads, with all that only they need.

A foreign file may give more than its card's ports: hidden states, attention maps, a second head.
They cost time at every evaluation, and inputs that only they need would have to be fed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass


class Dropped(NamedTuple):
    """What a graph has no more.

    Args:
        outputs: names of those that nobody reads.
        inputs: names of those that only they needed, and of those that nothing ever did.
    """

    outputs: tuple[str, ...]
    inputs: tuple[str, ...]


def drop_dead_outputs(model: ir.Model, read: Collection[str], fed: Collection[str] = ()) -> Dropped:
    """Remove in place every output but those that are read, and what nothing needs afterwards.

    Args:
        model: changed only where it has at least one output that is read.
        read: names of outputs.
        fed: names of inputs that stay even where nothing needs them, since they are fed anyway.

    Returns:
        What was removed.
    """
    graph = model.graph
    outputs = tuple(str(value.name) for value in graph.outputs if value.name not in read)
    kept = [value for value in graph.outputs if value.name in read]
    if not kept:
        return Dropped((), ())
    graph.outputs.clear()
    graph.outputs.extend(kept)
    if outputs:
        RemoveUnusedNodesPass()(model)
    idle = [value for value in graph.inputs if value.name not in fed and _is_idle(value)]
    for value in idle:
        graph.inputs.remove(value)
        graph.initializers.pop(str(value.name), None)
    return Dropped(outputs, tuple(str(value.name) for value in idle))


def _is_idle(value: ir.Value) -> bool:
    return not value.uses() and not value.is_graph_output()
