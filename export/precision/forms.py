"""Values in the type that a reader wants: a Cast where they are computed, one for all readers."""

from __future__ import annotations

import onnx_ir as ir

from denoisert.export.precision.halves import converted
from denoisert.export.precision.places import places
from denoisert.export.precision.statics import MOVING, static_values

EXACT = frozenset((ir.DataType.BOOL, ir.DataType.INT32, ir.DataType.INT64))
"""Types that are cast to a half type at once instead of by way of float32."""


class Forms:
    """The values of one graph, each in float32, in a half type or in both.

    Args:
        graph: nodes and initialisers are added to it.
        half: the type beside float32.
    """

    def __init__(self, graph: ir.Graph, half: ir.DataType) -> None:
        self.half = half
        self.static = static_values(graph)
        self.converted: dict[ir.Value, ir.Value] = {}
        self._graph = graph
        self._narrowed: set[ir.Value] = set()
        self._found: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}

    def is_float(self, value: ir.Value | None) -> bool:
        """Whether a value was float32 before anything was narrowed."""
        return value is not None and (value.dtype is ir.DataType.FLOAT or value in self._narrowed)

    def narrow(self, value: ir.Value) -> None:
        """Note that a value's node computes it in the half type."""
        value.type = ir.TensorType(self.half)  # copies of a graph share the old object
        self._narrowed.add(value)

    def form(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """The value in a type.

        Args:
            value: float32 before anything was narrowed.
            dtype: float32 or the half type.
        """
        if value.dtype is dtype:
            return value
        key = (value, dtype)
        if key not in self._found:
            self._found[key] = self._made(value, dtype)
        return self._found[key]

    def _made(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        if value in self.static:
            return self._static(value, dtype)
        return self._cast(value, dtype)

    def _static(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """A constant of the other type; what is computed from constants is computed in float32."""
        producer = value.producer()
        if producer is None:
            return self._constant(value, dtype)
        if producer.op_type not in MOVING:
            return self._cast(value, dtype)
        floats = [i for i, each in enumerate(producer.inputs) if self.is_float(each)]
        outputs = [i for i, each in enumerate(producer.outputs) if each.dtype is not None]
        if places(producer, floats, outputs, dtype) is None:
            return self._cast(value, dtype)
        return self._moved(producer, value, dtype)

    def _constant(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        name = self._name(value)
        if value.const_value is None:
            return self._cast(value, dtype)
        made = ir.Value(
            name=name,
            type=ir.TensorType(dtype),
            shape=value.shape,
            const_value=converted(value.const_value, dtype, name),
        )
        self._graph.register_initializer(made)
        self.converted[value] = made
        return made

    def _moved(self, node: ir.Node, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """A copy of a node that computes nothing, in the other type."""
        given = [
            self.form(each, dtype) if each is not None and self.is_float(each) else each
            for each in node.inputs
        ]
        copy = ir.node(node.op_type, given, node.attributes, num_outputs=len(node.outputs))
        for old, new in zip(node.outputs, copy.outputs, strict=True):
            new.name, new.shape, new.type = self._name(old), old.shape, ir.TensorType(dtype)
            self._found[old, dtype] = new
        self._graph.insert_after(node, copy)
        return self._found[value, dtype]

    def _cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """A Cast behind the value's node, from what was cast before where nothing is lost."""
        producer = value.producer()
        source = producer.inputs[0] if producer is not None and producer.op_type == "Cast" else None
        if source is not None and source.dtype is dtype:
            return source
        if source is None or source.dtype not in EXACT:
            source = value
        cast = ir.node("Cast", [source], {"to": int(dtype)})
        made = cast.outputs[0]
        made.name, made.shape, made.type = self._name(value), value.shape, ir.TensorType(dtype)
        cast.name = f"cast {value.name} to {dtype.name.lower()}"
        if producer is None:
            self._graph.insert_before(self._graph[0], cast)
        else:
            self._graph.insert_after(producer, cast)
        return made

    def _name(self, value: ir.Value) -> str:
        other = self.half if value.dtype is ir.DataType.FLOAT else ir.DataType.FLOAT
        return f"{value.name}.{other.name.lower()}"
