"""How large a value is when its named axes have lengths: for estimates, never for graphs."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import Final

import onnx_ir as ir

Operation = Callable[[int, int], int]

OPERATIONS: Final[Mapping[type[ast.operator], Operation]] = MappingProxyType(
    {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.FloorDiv: operator.floordiv,
        ast.Mod: operator.mod,
    }
)
"""What exporters make formulas of axes with."""


def extent(value: ir.Value | None, sizes: Mapping[str, int]) -> tuple[int, ...] | None:
    """The lengths of a value's axes.

    Args:
        value: of a graph.
        sizes: name of an axis -> its length.

    Returns:
        One number an axis; None where one is not known.
    """
    if value is None or value.shape is None:
        return None
    found = [_length(size, sizes) for size in value.shape]
    known = [size for size in found if size is not None]
    return tuple(known) if len(known) == len(found) else None


def extent_bytes(value: ir.Value, sizes: Mapping[str, int]) -> int:
    """Memory of a value; 0 where its shape or type is not known."""
    shape = extent(value, sizes)
    if shape is None or value.dtype is None:
        return 0
    return int(prod(shape) * value.dtype.itemsize)


def _length(size: int | ir.SymbolicDim, sizes: Mapping[str, int]) -> int | None:
    if isinstance(size, int):
        return size
    try:
        return _evaluate(ast.parse(size.value or "", mode="eval").body, sizes)
    except (SyntaxError, ZeroDivisionError):
        return None


def _evaluate(formula: ast.expr, sizes: Mapping[str, int]) -> int | None:
    """A formula of whole numbers and names; None for anything else."""
    if isinstance(formula, ast.Constant):
        return formula.value if isinstance(formula.value, int) else None
    if isinstance(formula, ast.Name):
        return sizes.get(formula.id)
    if not isinstance(formula, ast.BinOp) or type(formula.op) not in OPERATIONS:
        return None
    left, right = _evaluate(formula.left, sizes), _evaluate(formula.right, sizes)
    if left is None or right is None:
        return None
    return OPERATIONS[type(formula.op)](left, right)
