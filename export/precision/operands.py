"""The left operand of an integer product: float32 -> uint8, with a scale for each row.

A row is what one token, or one lane, gives to a product, so its numbers depend on nothing else in
the batch. There are three forms, all of them standard ONNX (QuantizeLinear with a block a row):

    signed   q = round(x / s) + 128,     s = max |x| / 127
    floored  q = round((x - f) / s),     s = max (x - f) / 255, where nothing is below f
    fine     a second row has what the first leaves: r = x - s (q - 128), at s / 254

Rows of zeros divide by 0 and are multiplied by it again, which leaves 0.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import onnx_ir as ir

from denoisert.export.graph.constants import constant, int64
from denoisert.export.precision.floors import floor_of

MIDDLE: Final = 128
"""Of uint8: what stands for 0 in signed rows."""

SIGNED_STEPS: Final = 127
STEPS: Final = 255
REST_STEPS: Final = 2 * SIGNED_STEPS
"""What rounding leaves is at most half a step, either way."""

HUGE: Final = 3e38
"""Any scale divided by it rounds to 0."""

PAIR: Final = 1
"""Axis of a fine operand's two rows."""


class Operand(NamedTuple):
    """A quantised operand.

    Args:
        numbers: uint8, (..., depth); (B, 2, depth) if it is fine.
        scale: float32, one for each row, (..., 1).
        zero: what stands for `floor`: 128 or 0.
        floor: the least value of a floored operand, 0 of others.
        is_fine: whether results of two rows are to be added.
    """

    numbers: ir.Value
    scale: ir.Value
    zero: int
    floor: float
    is_fine: bool


def quantised(graph: ir.Graph, node: ir.Node, x: ir.Value, depth: int) -> Operand:
    """Quantise an operand in front of the first node that reads it.

    Args:
        graph: nodes and constants are added to it.
        node: the reader.
        x: float32, (..., depth). A matrix has one row a lane; those steer everything in their lane
            and cost next to nothing, so they are fine.
        depth: its last size.
    """
    writer = _Writer(graph, depth)
    if len(x.shape or ()) == 2:
        operand = writer.fine(x)
    else:
        floor = floor_of(x)
        operand = writer.signed(x) if floor is None else writer.floored(x, floor)
    graph.insert_before(node, writer.nodes)
    return operand


class _Writer:
    """Collects the nodes of one operand."""

    def __init__(self, graph: ir.Graph, depth: int) -> None:
        self.nodes: list[ir.Node] = []
        self._graph = graph
        self._block = {"axis": -1, "block_size": depth}

    def signed(self, x: ir.Value) -> Operand:
        scale = self._scale(self._call("Abs", x), SIGNED_STEPS)
        numbers = self._call("QuantizeLinear", x, scale, self._middle(scale), **self._block)
        return Operand(numbers, scale, MIDDLE, 0.0, is_fine=False)

    def floored(self, x: ir.Value, floor: float) -> Operand:
        above = self._call("Sub", x, self._number(floor)) if floor else x
        scale = self._scale(above, STEPS)
        numbers = self._call("QuantizeLinear", above, scale, **self._block)
        return Operand(numbers, scale, 0, floor, is_fine=False)

    def fine(self, x: ir.Value) -> Operand:
        row = self._call("Unsqueeze", x, int64(self._graph, PAIR))
        first, scale, zero, _, _ = self.signed(row)
        middle = self._middle(scale)
        known = self._call("DequantizeLinear", first, scale, middle, **self._block)
        rest = self._call("Sub", row, known)
        finer = self._call("Mul", scale, self._number(1.0 / REST_STEPS))
        second = self._call("QuantizeLinear", rest, finer, middle, **self._block)
        numbers = self._call("Concat", first, second, axis=PAIR)
        return Operand(numbers, self._call("Concat", scale, finer, axis=PAIR), zero, 0.0, True)

    def _scale(self, size: ir.Value, steps: int) -> ir.Value:
        peak = self._call("ReduceMax", size, int64(self._graph, -1), keepdims=1)
        return self._call("Mul", peak, self._number(1.0 / steps))

    def _middle(self, scale: ir.Value) -> ir.Value:
        """128 in the shape of the scales, by one operator instead of Shape and Expand."""
        middle = constant(self._graph, np.array(MIDDLE, np.uint8))
        return self._call("QuantizeLinear", scale, self._number(HUGE), middle)

    def _call(self, op: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        self.nodes.append(ir.node(op, inputs, attributes))
        return self.nodes[-1].outputs[0]

    def _number(self, number: float) -> ir.Value:
        return constant(self._graph, np.array(number, np.float32))
