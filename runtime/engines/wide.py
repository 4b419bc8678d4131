"""What stays in float32 where a graph is computed in a half type: the rules, stated once.

The torch engine applies them while it specialises a graph, the compiler when it writes a narrowed
one. Three kinds of values are "wide": one number per lane (times, scales) and what is computed from
it up to the first weights; positions up to their sine and cosine, since a phase of several hundred
has no digits left in a half type; and results that leave a half type's range, squares, powers,
exponentials and sums. A node that reads both kinds is half, so nothing wide spreads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

PHASES: Final = frozenset(("Sin", "Cos"))

WEIGHTS: Final = frozenset(("Attention", "Conv", "ConvTranspose", "Gemm", "MatMul"))
"""Operators that carry the network's weights; wide values become half in front of them."""

MIXING: Final = WEIGHTS | {
    "BatchNormalization",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "Softmax",
}
"""Operators behind which a value is an activation, whatever it was before."""

OUT_OF_RANGE: Final = frozenset(
    (
        "CumSum",
        "Exp",
        "Pow",
        "Reciprocal",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMean",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
    )
)
"""Operators whose result may exceed 65504 or fall below 6e-8 where their input does not."""

LEAST_RANK: Final = 2
"""An input of fewer dimensions is one number per lane."""

Wiring = tuple[str, Sequence[str], Sequence[str]]
"""An operator's name, and the names of its inputs and outputs; "" where one is left out."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What decides whether a node is wide.

    Args:
        op: ONNX name.
        half: how many of its float inputs, constants left out, are half.
        wide: how many are wide.
        is_square: whether it multiplies a value by itself.
        is_outer: whether it is a product with one term only, as that of positions and frequencies.
    """

    op: str
    half: int
    wide: int
    is_square: bool = False
    is_outer: bool = False


def is_wide(reads: Reads) -> bool:
    """Whether a node is computed in float32."""
    if not reads.half and not reads.wide:
        return reads.op == "Cast"
    if reads.op in OUT_OF_RANGE or reads.is_square:
        return True
    if reads.half:
        return False
    return reads.op not in WEIGHTS or reads.is_outer


def is_square(op: str, inputs: Sequence[object]) -> bool:
    """Whether a node multiplies a value by itself.

    Args:
        op: ONNX name.
        inputs: values or their names.
    """
    return op == "Mul" and inputs[0] == inputs[1]


def is_outer(op: str, shapes: Iterable[Sequence[object] | None]) -> bool:
    """Whether a product of matrices has one term only.

    Args:
        op: ONNX name.
        shapes: of the inputs, None for constants.
    """
    if op != "MatMul":
        return False
    known = ((i, sizes) for i, sizes in enumerate(shapes) if sizes)
    return any(sizes[-1 - i % len(sizes)] == 1 for i, sizes in known)


def phases(nodes: Sequence[Wiring]) -> frozenset[str]:
    """Names of the values that become phases before any activation.

    Args:
        nodes: of a graph, in order.
    """
    found: set[str] = set()
    for op, inputs, outputs in reversed(nodes):
        if op in PHASES or (op not in MIXING and found & set(outputs)):
            found.update(inputs)
    return frozenset(found)
