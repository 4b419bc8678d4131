"""Random numbers inside a graph become inputs, so that the same request gives the same picture.

An operator draws from a generator of the engine: another number at every call, on every target, in
every batch. Afterwards the graph takes standard normal or uniform numbers and does the rest itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from types import MappingProxyType
from typing import Final

import numpy as np
import onnx_ir as ir

from denoisert.export.graph.constants import constant, int64
from denoisert.runtime.errors import UnsupportedOperator

SMALLEST: Final = 2.0**-24
"""Uniform numbers are raised to this before a logarithm."""

TRAINING: Final = 2
"""Place of Dropout's training mode among its inputs."""

Rewrite = Callable[["_Draw"], ir.Value]


class _Draw:
    """One random node while it is rewritten.

    Args:
        main: the graph that gets the input.
        node: what draws.
    """

    def __init__(self, main: ir.Graph, node: ir.Node) -> None:
        self.main = main
        self.node = node
        self.nodes: list[ir.Node] = []

    def numbers(self, shape: ir.Shape | None = None) -> ir.Value:
        """The new input, float32, of a shape or as large as what the node gives."""
        taken = {str(value.name) for value in self.main.inputs}
        name = next(f"random_{n}" for n in count(1) if f"random_{n}" not in taken)
        sizes = self.sizes if shape is None else shape
        value = ir.val(name, ir.DataType.FLOAT, sizes)
        self.main.inputs.append(value)
        return value

    @property
    def sizes(self) -> ir.Shape:
        """What the node says, or those of its operand."""
        own = self.node.attributes.get("shape")
        return ir.Shape(tuple(self.operand.shape or ()) if own is None else own.as_ints())

    def number(self, name: str, default: float) -> float:
        """A number among the node's attributes."""
        found = self.node.attributes.get(name)
        return default if found is None else float(found.as_float())

    def integer(self, name: str, default: int) -> int:
        """A whole number among the node's attributes."""
        found = self.node.attributes.get(name)
        return default if found is None else int(found.as_int())

    def make(self, kind: str, *inputs: ir.Value, **attributes: int | float) -> ir.Value:
        """A node more; returns what it gives."""
        node = ir.node(kind, list(inputs), attributes)
        self.nodes.append(node)
        return node.outputs[0]

    def scalar(self, number: float) -> ir.Value:
        """A float32 constant."""
        return constant(self.main, np.array(number, np.float32))

    def spread(self, values: ir.Value, factor: float, offset: float) -> ir.Value:
        """values factor + offset."""
        scaled = values if factor == 1 else self.make("Mul", values, self.scalar(factor))
        return scaled if offset == 0 else self.make("Add", scaled, self.scalar(offset))

    def cast(self, values: ir.Value, dtype: int) -> ir.Value:
        """In another type, unless that is float32."""
        return values if dtype == ir.DataType.FLOAT else self.make("Cast", values, to=dtype)

    @property
    def operand(self) -> ir.Value:
        """The first input."""
        value = self.node.inputs[0]
        if value is None or value.shape is None:
            raise UnsupportedOperator(
                f"{self.node.op_type} {self.node.name!r} draws as many numbers as an operand has "
                "whose shape is not known. Export the graph again with shapes of its values."
            )
        return value

    @property
    def dtype(self) -> int:
        """Of the result: the attribute's, else the operand's, else float32."""
        own = self.node.inputs[0].dtype if self.node.inputs and self.node.inputs[0] else None
        return self.integer("dtype", int(own or ir.DataType.FLOAT))


def lift_random(model: ir.Model) -> tuple[ir.Value, ...]:
    """Replace in place every node that draws random numbers.

    Args:
        model: with shapes of what random nodes follow.

    Returns:
        The new inputs: float32, "random_1" and so on, in the order of the nodes. Those of
        RandomNormal are standard normal, all others uniform in [0, 1).

    Raises:
        UnsupportedOperator: a shape is not known, or a node lies inside a branch or loop.
    """
    before = len(model.graph.inputs)
    for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
        rewrite = REWRITES.get(node.op_type) if node.domain == "" else None
        if rewrite is None or (node.op_type == "Dropout" and not _is_training(node)):
            continue
        if node.graph is not model.graph:
            raise UnsupportedOperator(
                f"{node.op_type} {node.name!r} draws random numbers inside a branch or loop. Give "
                "the graph its noise as an input, and export it again."
            )
        draw = _Draw(model.graph, node)
        result = rewrite(draw)
        if not draw.nodes:  # an input must not take the name of what it replaces
            result = draw.make("Identity", result)
        ir.convenience.replace_nodes_and_values(
            model.graph, node, [node], draw.nodes, node.outputs[:1], [result]
        )
    return tuple(model.graph.inputs[before:])


def _normal(draw: _Draw) -> ir.Value:
    mean, scale = draw.number("mean", 0.0), draw.number("scale", 1.0)
    return draw.cast(draw.spread(draw.numbers(), scale, mean), draw.dtype)


def _uniform(draw: _Draw) -> ir.Value:
    low, high = draw.number("low", 0.0), draw.number("high", 1.0)
    return draw.cast(draw.spread(draw.numbers(), high - low, low), draw.dtype)


def _bernoulli(draw: _Draw) -> ir.Value:
    """u < p."""
    chance = draw.operand
    drawn = draw.cast(draw.numbers(), int(chance.dtype or ir.DataType.FLOAT))
    return draw.make("Cast", draw.make("Less", drawn, chance), to=draw.dtype)


def _dropout(draw: _Draw) -> ir.Value:
    """x (u >= ratio) / (1 - ratio); the mask is no output afterwards."""
    node, x = draw.node, draw.operand
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        raise UnsupportedOperator(
            f"Dropout {node.name!r} gives its mask away, so it cannot be lifted. Export the graph "
            "with its module in evaluation mode."
        )
    kind = int(x.dtype or ir.DataType.FLOAT)
    ratio = node.inputs[1] if len(node.inputs) > 1 and node.inputs[1] else draw.scalar(0.5)
    drawn = draw.numbers()
    kept = draw.make("Cast", draw.make("GreaterOrEqual", drawn, ratio), to=kind)
    share = draw.cast(draw.make("Sub", draw.scalar(1.0), ratio), kind)
    return draw.make("Div", draw.make("Mul", x, kept), share)


def _multinomial(draw: _Draw) -> ir.Value:
    """argmax over classes of logits - log(-log u), which draws from softmax(logits)."""
    logits, samples = draw.operand, draw.integer("sample_size", 1)
    sizes = tuple(draw.sizes)
    drawn = draw.numbers(ir.Shape([sizes[0], samples, sizes[1]]))
    safe = draw.make("Clip", drawn, draw.scalar(SMALLEST), draw.scalar(1 - SMALLEST))
    inner = draw.make("Neg", draw.make("Log", safe))
    noise = draw.make("Neg", draw.make("Log", inner))
    rows = draw.make("Unsqueeze", draw.make("Cast", logits, to=1), int64(draw.main, 1))
    best = draw.make("ArgMax", draw.make("Add", rows, noise), axis=2, keepdims=0)
    dtype = draw.integer("dtype", int(ir.DataType.INT32))
    return draw.make("Cast", best, to=dtype)


REWRITES: Final[Mapping[str, Rewrite]] = MappingProxyType(
    {
        "RandomNormal": _normal,
        "RandomNormalLike": _normal,
        "RandomUniform": _uniform,
        "RandomUniformLike": _uniform,
        "Bernoulli": _bernoulli,
        "Dropout": _dropout,
        "Multinomial": _multinomial,
    }
)
"""Operator -> what takes its place."""


def _is_training(node: ir.Node) -> bool:
    """Whether a Dropout drops anything; a mode that is not constant counts as yes."""
    mode = node.inputs[TRAINING] if len(node.inputs) > TRAINING else None
    if mode is None:
        return False
    tensor = ir.convenience.get_const_tensor(mode)
    return tensor is None or bool(tensor.numpy().item())
