"""A float32 graph that computes in a half type, written out: every node, every Cast.

Engines that are strongly typed (TensorRT) take it as it is, and a runtime that executes graphs
needs no rules of its own. What stays float32 follows from `runtime/engines/wide.py`, from the
operators' schemas and from a list of nodes. Ports stay as they are; the Casts are inside.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import onnx_ir as ir
from onnx_ir.passes.common import (
    LiftConstantsToInitializersPass,
    RemoveUnusedNodesPass,
    ShapeInferencePass,
)

from denoisert.export.precision.forms import Forms
from denoisert.export.precision.halves import FLOAT32, half_type
from denoisert.export.precision.places import Places, fill_types, places
from denoisert.runtime.engines.wide import LEAST_RANK, Reads, is_outer, is_square, is_wide, phases
from denoisert.runtime.errors import UnsupportedOperator

NOTHING: Final = frozenset[str]()


def narrow(model: ir.Model, dtype: str, keep: Collection[str] = NOTHING) -> int:
    """Rewrite a float32 graph in place so that it computes in a half type.

    Args:
        model: its large weights may lie in files; they are converted when they are read next.
        dtype: "float16" or "bfloat16"; "float32" leaves the graph alone.
        keep: names of nodes, see `name_of`, that stay float32.

    Returns:
        How many nodes compute in the half type.

    Raises:
        InvalidInput: another dtype.
        UnsupportedOperator: the graph has branches or loops.
    """
    if dtype == FLOAT32:
        return 0
    half = half_type(dtype)
    _check(model.graph)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    if any(value.dtype is None for node in model.graph for value in node.outputs if value.uses()):
        ShapeInferencePass(check_type=False, strict_mode=False)(model)
        fill_types(model.graph)
    count = _Rewriting(model.graph, half, frozenset(keep)).rewrite()
    RemoveUnusedNodesPass()(model)
    return count


def name_of(node: ir.Node) -> str:
    """What a node is called: its name, or that of its first output where it has none."""
    return node.name or str(node.outputs[0].name)


def _check(graph: ir.Graph) -> None:
    """Refuse graphs inside the graph."""
    for node in graph:
        if any(item.type in _GRAPHS for item in node.attributes.values()):
            raise UnsupportedOperator(
                f"{node.op_type} {name_of(node)!r} has a graph of its own; only graphs without "
                "branches and loops are narrowed. Export the model without it, or compile it in "
                "float32."
            )


_GRAPHS: Final = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


class _Rewriting:
    """Walks a graph once and gives every node its type."""

    def __init__(self, graph: ir.Graph, half: ir.DataType, keep: frozenset[str]) -> None:
        self._graph = graph
        self._half = half
        self._keep = keep
        self._forms = Forms(graph, half)
        self._wide = _wide_inputs(graph)

    def rewrite(self) -> int:
        count = sum(self._node(node) for node in tuple(self._graph))
        for place, value in enumerate(self._graph.outputs):
            if self._forms.is_float(value) and value.dtype is self._half:
                self._graph.outputs[place] = self._shown(value)
        self._rename()
        return count

    def _node(self, node: ir.Node) -> bool:
        """Whether the node computes in the half type from now on."""
        if self._forms.static.issuperset(node.outputs):
            return False
        if node.op_type == "Cast":
            self._drop(node)
            return False
        read = [i for i, value in enumerate(node.inputs) if self._forms.is_float(value)]
        written = [i for i, value in enumerate(node.outputs) if value.dtype is ir.DataType.FLOAT]
        found = places(node, read, written, self._half)
        is_half = found is not None and bool(read) and not self._stays(node)
        self._read(node, read, found.inputs if found is not None and is_half else ())
        if found is None or not is_half:
            return False
        self._write(node, found)
        return True

    def _stays(self, node: ir.Node) -> bool:
        """Whether the node stays float32 by its name or by the rules."""
        if name_of(node) in self._keep:
            return True
        given = [value for value in node.inputs if self._is_variable(value)]
        wide = sum(self._is_wide(value) for value in given if value is not None)
        shapes = [
            tuple(value.shape or ()) if value is not None and self._is_variable(value) else None
            for value in node.inputs
        ]
        op = node.op_type
        reads = Reads(op, len(given) - wide, wide, is_square(op, node.inputs), is_outer(op, shapes))
        return is_wide(reads)

    def _is_variable(self, value: ir.Value | None) -> bool:
        return self._forms.is_float(value) and value not in self._forms.static

    def _is_wide(self, value: ir.Value) -> bool:
        """An input of the graph is float32, but half to its readers unless the rules say wide."""
        if value.is_graph_input():
            return value in self._wide
        return value.dtype is ir.DataType.FLOAT

    def _read(self, node: ir.Node, floats: list[int], halves: tuple[int, ...]) -> None:
        for place in floats:
            value = node.inputs[place]
            if value is not None:
                dtype = self._half if place in halves else ir.DataType.FLOAT
                node.replace_input_with(place, self._forms.form(value, dtype))

    def _write(self, node: ir.Node, found: Places) -> None:
        for place in found.outputs:
            self._forms.narrow(node.outputs[place])

    def _drop(self, node: ir.Node) -> None:
        """A Cast whose input has its type already is no more than another name."""
        source, result = node.inputs[0], node.outputs[0]
        wanted = node.attributes["to"].as_int()
        is_same = source is not None and wanted == (source.dtype or 0)
        is_same = is_same or (self._forms.is_float(source) and wanted == int(ir.DataType.FLOAT))
        if source is not None and is_same and not result.is_graph_output():
            ir.convenience.replace_all_uses_with(result, source)

    def _shown(self, value: ir.Value) -> ir.Value:
        """A float32 output under the name that it had before its node became half."""
        name = str(value.name)
        shown = self._forms.form(value, ir.DataType.FLOAT)
        value.name = f"{name}.{self._half.name.lower()}"
        shown.name = name
        return shown

    def _rename(self) -> None:
        """Weights that only exist in the half type keep their names."""
        for old, new in self._forms.converted.items():
            if not old.uses() and not old.is_graph_output():
                name = str(old.name)
                self._graph.initializers.pop(name)
                new.name = name


def _wide_inputs(graph: ir.Graph) -> frozenset[ir.Value]:
    """Float inputs of one number per lane, and those that become phases."""
    wiring = [
        (
            node.op_type,
            [str(value.name) if value is not None else "" for value in node.inputs],
            [str(value.name) for value in node.outputs],
        )
        for node in graph
    ]
    found = phases(wiring)
    return frozenset(
        value
        for value in graph.inputs
        if len(value.shape or ()) < LEAST_RANK or str(value.name) in found
    )
