"""A denoiser in two graphs: what its conditions alone decide, and what a step computes.

The first runs once per request, for all branches together; the second takes its results in the
place of the conditions. Together they are the same nodes in the same order, so results are equal.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from denoisert.export.graph.flops import graph_flops
from denoisert.export.graph.frontier import Frontier
from denoisert.export.graph.signature import LANES, Signature

SMALLEST_SHARE: Final = 0.02
"""Of an evaluation's operations; below it a bundle is not worth another graph."""


class Hoisted(NamedTuple):
    """The two graphs.

    Args:
        conditioner: conditions in, `values` out.
        denoiser: takes `values`, and no condition that only they needed.
        values: names of what goes from one to the other, float32 (lanes, fixed sizes).
        share: of an evaluation's operations that is not repeated.
    """

    conditioner: ir.Model
    denoiser: ir.Model
    values: tuple[str, ...]
    share: float


def hoist(
    model: ir.Model,
    signature: Signature,
    told: Collection[str],
    smallest_share: float = SMALLEST_SHARE,
) -> Hoisted | None:
    """Divide a denoiser, where that is worth it.

    It is if a share of an evaluation's operations goes, and what a branch keeps is no larger a
    share of the weights' memory than that. Costs are those of the default size.

    Args:
        model: after `unify_dims`, with shapes; it stays as it is, and its weights are shared.
        signature: of the whole.
        told: names of the inputs that stay the same during a request.
        smallest_share: of the operations that are worth it; 0 takes any product.

    Returns:
        The graphs, or None.
    """
    whole = model.clone()
    sizes = {LANES: 1, **signature.sizes[0]}
    frontier = Frontier(whole.graph, told, sizes)
    total = graph_flops(whole, sizes)
    share = frontier.saved_flops / total if total else 0.0
    if not share or share < smallest_share or frontier.more_bytes > share * _weight_bytes(whole):
        return None
    anchor = _anchor(whole, told)
    if anchor is None and frontier.anchored:
        return None
    names = tuple(str(value.name) for value in frontier.values)
    conditioner = _conditioner(model, names)
    _cut(whole, frontier, anchor)
    return Hoisted(conditioner, whole, names, share)


def _weight_bytes(model: ir.Model) -> int:
    tensors = (value.const_value for value in model.graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def _anchor(model: ir.Model, told: Collection[str]) -> ir.Value | None:
    """An input of the loop that has lanes."""
    for value in model.graph.inputs:
        if value.name not in told and value.shape and str(value.shape[0]) == LANES:
            return value
    return None


def _conditioner(model: ir.Model, names: tuple[str, ...]) -> ir.Model:
    """The part that gives the values with these names."""
    part = model.clone()
    found: Mapping[str, ir.Value] = {
        str(value.name): value for node in part.graph for value in node.outputs
    }
    part.graph.outputs.clear()
    part.graph.outputs.extend(found[name] for name in names)
    part.graph.name = "conditioner"
    _tidy(part)
    return part


def _cut(model: ir.Model, frontier: Frontier, anchor: ir.Value | None) -> None:
    """Replace the values at the frontier by inputs, in place."""
    for node in frontier.anchored:
        node.replace_input_with(0, anchor)
    for value in frontier.values:
        name = str(value.name)
        value.name = f"{name}.hoisted"
        kept = ir.val(name, ir.DataType.FLOAT, ir.Shape(tuple(value.shape or ())))
        model.graph.inputs.append(kept)
        for use in tuple(value.uses()):
            if use.node not in frontier.nodes:
                use.node.replace_input_with(use.idx, kept)
    _tidy(model)


def _tidy(model: ir.Model) -> None:
    """Drop what no output needs: nodes, weights and inputs."""
    RemoveUnusedNodesPass()(model)
    for value in tuple(model.graph.inputs):
        if not value.uses() and not value.is_graph_output():
            model.graph.inputs.remove(value)
