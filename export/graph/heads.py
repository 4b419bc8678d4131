"""How graphs split heads off (B, L, channels) and merge them again, read from shapes.

A Reshape that keeps B or L and whose fixed sizes multiply to the channels can mean only one thing,
so no constant shape has to be understood.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import onnx_ir as ir

HEADS_FIRST: Final = (0, 2, 1, 3)
"""Permutation between (B, L, heads, width) and (B, heads, L, width)."""

PACKED_FIRST: Final = (2, 0, 3, 1, 4)
"""Permutation from (B, L, packed, heads, width) to (packed, B, heads, L, width)."""


class Rows(NamedTuple):
    """A (B, L, heads width) value, or a range of the channels of a wider one."""

    value: ir.Value
    first: int
    width: int
    heads: int

    @property
    def is_whole(self) -> bool:
        """Whether the range is the whole value."""
        return fixed_size(self.value, 2) == self.width


def split_rows(value: ir.Value | None) -> Rows | None:
    """Where a (B, heads, L, width) operand comes from, or None if not from (B, L, channels)."""
    transpose = _producer(value, "Transpose")
    if transpose is not None and _permutation(transpose) == HEADS_FIRST:
        source = _unmerged(transpose.inputs[0], 4)
        heads = fixed_size(transpose.inputs[0], 2)
        return None if source is None else Rows(source, 0, fixed_size(source, 2), heads)
    return _packed_rows(value)


def _packed_rows(value: ir.Value | None) -> Rows | None:
    """An operand that is one index of a packed (packed, B, heads, L, width) value."""
    packed, index = _selected(value)
    transpose = _producer(packed, "Transpose")
    if transpose is None or _permutation(transpose) != PACKED_FIRST:
        return None
    split = transpose.inputs[0]
    source = _unmerged(split, 5)
    if source is None or not 0 <= index < fixed_size(split, 2):
        return None
    heads = fixed_size(split, 3)
    width = heads * fixed_size(split, 4)
    return Rows(source, index * width, width, heads)


def _selected(value: ir.Value | None) -> tuple[ir.Value | None, int]:
    """The value and the constant index of x[index] along axis 0; (None, -1) if it is not that."""
    gather = _producer(value, "Gather")
    if gather is not None and _axis(gather) == 0:
        return gather.inputs[0], _integers(gather.inputs[1], 0)
    squeeze = _producer(value, "Squeeze")
    if squeeze is None or len(squeeze.inputs) != 2 or _integers(squeeze.inputs[1], 1) != 0:
        return None, -1
    cut = _producer(squeeze.inputs[0], "Slice")
    if cut is None or len(cut.inputs) < 4 or _integers(cut.inputs[3], 1) != 0:
        return None, -1
    return cut.inputs[0], _integers(cut.inputs[1], 1)


def _unmerged(split: ir.Value | None, rank: int) -> ir.Value | None:
    """The (B, L, channels) value that a Reshape splits into one of this rank."""
    reshape = _producer(split, "Reshape")
    if reshape is None or split is None:
        return None
    rows = reshape.inputs[0]
    is_split = len(split.shape or ()) == rank and _is_merge(split, rows)
    return rows if is_split else None


def merged_rows(output: ir.Value) -> ir.Value | None:
    """The (B, L, channels) value that alone uses an Attention's (B, heads, L, width) output."""
    transpose = _only_user(output, "Transpose")
    if transpose is None or _permutation(transpose) != HEADS_FIRST:
        return None
    reshape = _only_user(transpose.outputs[0], "Reshape")
    if reshape is None or not _is_merge(transpose.outputs[0], reshape.outputs[0]):
        return None
    return reshape.outputs[0]


def _is_merge(split: ir.Value, rows: ir.Value | None) -> bool:
    """Whether (B, L, a, b, ..) became (B, L, a b ..): its fixed sizes tell a Reshape's meaning."""
    if rows is None or rows.shape is None or split.shape is None or len(rows.shape) != 3:
        return False
    sizes = [fixed_size(split, axis) for axis in range(2, len(split.shape))]
    product = 1
    for size in sizes:
        product *= size
    kept = any(_is_same(split.shape[axis], rows.shape[axis]) for axis in (0, 1))
    return kept and min(sizes) > 0 and product == fixed_size(rows, 2)


def _is_same(one: int | ir.SymbolicDim, other: int | ir.SymbolicDim) -> bool:
    """Whether two sizes are known to be equal."""
    if isinstance(one, ir.SymbolicDim) and one.value is None:
        return False
    return one == other


def fixed_size(value: ir.Value | None, axis: int) -> int:
    """A fixed size, or -1."""
    sizes: Sequence[object] = tuple(value.shape or ()) if value is not None else ()
    size = sizes[axis] if axis < len(sizes) else -1
    return size if isinstance(size, int) else -1


def _producer(value: ir.Value | None, op_type: str) -> ir.Node | None:
    node = value.producer() if value is not None else None
    if node is None or (node.domain, node.op_type) != ("", op_type):
        return None
    return node


def _only_user(value: ir.Value, op_type: str) -> ir.Node | None:
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    node = uses[0].node
    return node if (node.domain, node.op_type) == ("", op_type) else None


def _permutation(node: ir.Node) -> tuple[int, ...]:
    return tuple(node.attributes["perm"].as_ints()) if "perm" in node.attributes else ()


def _axis(node: ir.Node) -> int:
    return node.attributes["axis"].as_int() if "axis" in node.attributes else 0


def _integers(value: ir.Value | None, rank: int) -> int:
    """The one number of a constant of this rank, or -1."""
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    if tensor is None or tensor.size != 1 or len(tensor.shape) != rank:
        return -1
    return int(tensor.numpy().item())
