"""Which inputs and outputs of a node follow its float type, by the operator's schema.

An operator that does not know a type (Resize has no bfloat16 regions, Einsum and TopK no bfloat16,
Range no half type at all) stays float32, and so does every operator that ONNX does not define.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import onnx_ir as ir
from onnx import defs


@dataclass(frozen=True, slots=True)
class Places:
    """Positions at a node that become half together.

    Args:
        inputs: of float inputs.
        outputs: of float outputs.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def places(
    node: ir.Node, inputs: Iterable[int], outputs: Iterable[int], half: ir.DataType
) -> Places | None:
    """The positions that become half, or None where the operator is not defined in that type.

    Args:
        node: its domain has to have a version in its graph's opset.
        inputs: positions of its float32 inputs.
        outputs: positions of its float32 outputs.
        half: the type.
    """
    schema = _schema(node.op_type, _opset(node), node.domain)
    if schema is None:
        return None
    allowed = {each.type_param_str: each.allowed_type_strs for each in schema.type_constraints}
    wanted = f"tensor({half.name.lower()})"
    read = _formal(schema.inputs, inputs, allowed)
    written = _formal(schema.outputs, outputs, allowed)
    types = set(read.values())
    if any(wanted not in allowed[name] for name in types):
        return None
    free = [place for place, name in written.items() if name not in types]
    if any(_is_read(node.outputs[place]) for place in free):
        return None
    return Places(tuple(read), tuple(place for place in written if place not in free))


def fill_types(graph: ir.Graph) -> None:
    """Give outputs without a type that of the input which the schema says is the same.

    ONNX infers nothing behind some operators, GroupNormalization among them.

    Args:
        graph: changed in place; outputs of operators that say nothing stay as they are.
    """
    for node in graph:
        schema = _schema(node.op_type, _opset(node), node.domain)
        if schema is None or all(value.dtype is not None for value in node.outputs):
            continue
        names = [each.type_str for each in schema.inputs]
        known = {
            names[min(place, len(names) - 1)]: value.dtype
            for place, value in enumerate(node.inputs)
            if value is not None and names
        }
        for value, formal in zip(node.outputs, schema.outputs, strict=False):
            dtype = known.get(formal.type_str)
            if value.dtype is None and dtype is not None:
                value.type = ir.TensorType(dtype)


def _is_read(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()


def _opset(node: ir.Node) -> int:
    graph = node.graph
    return 0 if graph is None else graph.opset_imports.get(node.domain, 0)


@cache
def _schema(op: str, opset: int, domain: str) -> defs.OpSchema | None:
    try:
        return defs.get_schema(op, opset, domain)
    except defs.SchemaError:
        return None


def _formal(
    parameters: Iterable[defs.OpSchema.FormalParameter],
    positions: Iterable[int],
    allowed: Mapping[str, object],
) -> dict[int, str]:
    """Position -> type parameter, without those whose type is fixed, as that of Resize's scales."""
    known = [each.type_str for each in parameters]
    found = {place: known[min(place, len(known) - 1)] for place in positions}
    return {place: name for place, name in found.items() if name in allowed}
