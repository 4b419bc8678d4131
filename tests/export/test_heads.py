"""How heads are read from shapes: what counts as a split or a merge, and what could mislead."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from denoisert.export.graph.heads import Rows, fixed_size, merged_rows, split_rows

B, L, HEADS, WIDTH = "b", 5, 3, 4
CHANNELS = HEADS * WIDTH

Sizes = tuple[int | str | None, ...]


def value(name: str, sizes: Sizes) -> ir.Value:
    shape = ir.Shape([size if isinstance(size, int) else ir.SymbolicDim(size) for size in sizes])
    return ir.Value(name=name, shape=shape, type=ir.TensorType(ir.DataType.FLOAT))


def after(source: ir.Value, kind: str, sizes: Sizes, *inputs: ir.Value, **attributes: object):
    """The output of a node on `source`."""
    output = value(f"{kind}_of_{source.name}", sizes)
    ir.node(kind, [source, *inputs], attributes or None, outputs=[output])
    return output


def number(*content: int, is_scalar: bool = False) -> ir.Value:
    array = np.array(content[0] if is_scalar else content, np.int64)
    return ir.Value(name="index", const_value=ir.tensor(array))


def separate(
    rows: Sizes = (B, L, CHANNELS),
    split: Sizes = (B, L, HEADS, WIDTH),
    perm: tuple[int, ...] = (0, 2, 1, 3),
) -> tuple[ir.Value, ir.Value]:
    """(rows, operand) of a projection whose heads are split off."""
    source = value("rows", rows)
    shape = number(0, 0, HEADS, WIDTH)
    reshaped = after(source, "Reshape", split, shape)
    return source, after(reshaped, "Transpose", (B, HEADS, L, WIDTH), perm=perm)


def packed(perm: tuple[int, ...] = (2, 0, 3, 1, 4)) -> tuple[ir.Value, ir.Value]:
    """(rows, (3, B, heads, L, width)) of a shared projection."""
    source = value("rows", (B, L, 3 * CHANNELS))
    reshaped = after(source, "Reshape", (B, L, 3, HEADS, WIDTH), number(0, 0, 3, HEADS, WIDTH))
    return source, after(reshaped, "Transpose", (3, B, HEADS, L, WIDTH), perm=perm)


def picked(whole: ir.Value, index: int, axis: int = 0) -> ir.Value:
    """whole[index] as exporters write it with Slice and Squeeze."""
    bounds = (number(index), number(index + 1), number(axis))
    cut = after(whole, "Slice", (1, B, HEADS, L, WIDTH), *bounds)
    return after(cut, "Squeeze", (B, HEADS, L, WIDTH), number(axis))


def test_a_split_projection_is_its_whole_rows() -> None:
    source, operand = separate()
    rows = split_rows(operand)
    assert rows == Rows(source, 0, CHANNELS, HEADS)
    assert rows.is_whole


@pytest.mark.parametrize("index", [0, 1, 2])
def test_an_index_of_a_shared_projection_is_a_range_of_its_rows(index: int) -> None:
    source, whole = packed()
    expected = Rows(source, index * CHANNELS, CHANNELS, HEADS)
    assert split_rows(picked(whole, index)) == expected
    gathered = after(whole, "Gather", (B, HEADS, L, WIDTH), number(index, is_scalar=True), axis=0)
    assert split_rows(gathered) == expected
    assert not expected.is_whole


@pytest.mark.parametrize(
    ("rows", "split"),
    [
        ((B, L, CHANNELS), (B, L, WIDTH, HEADS + 1)),
        ((B, L, CHANNELS), (None, None, HEADS, WIDTH)),
        ((None, None, CHANNELS), (None, None, HEADS, WIDTH)),
        (("b", "l", CHANNELS), ("l", "b", HEADS, WIDTH)),
        ((B, L, CHANNELS), (B, L, HEADS, "width")),
        ((B, L, "channels"), (B, L, HEADS, WIDTH)),
        ((B, CHANNELS), (B, 1, HEADS, WIDTH)),
        ((B, 1, L, CHANNELS), (B, L, HEADS, WIDTH)),
    ],
)
def test_a_reshape_that_may_regroup_is_no_split(rows: Sizes, split: Sizes) -> None:
    _, operand = separate(rows, split)
    assert split_rows(operand) is None


def test_a_reshape_that_keeps_one_of_both_sizes_is_a_split() -> None:
    """The other size follows, since the number of elements stays."""
    source, operand = separate((None, L, CHANNELS), (None, L, HEADS, WIDTH))
    assert split_rows(operand) == Rows(source, 0, CHANNELS, HEADS)


@pytest.mark.parametrize("perm", [(0, 1, 2, 3), (0, 2, 3, 1), (2, 1, 0, 3)])
def test_another_permutation_is_no_split(perm: tuple[int, ...]) -> None:
    assert split_rows(separate(perm=perm)[1]) is None


def test_other_ways_to_pick_are_left_alone() -> None:
    _, whole = packed()
    assert split_rows(picked(whole, 3)) is None
    assert split_rows(picked(whole, -1)) is None
    assert split_rows(picked(whole, 1, axis=1)) is None
    assert split_rows(picked(packed((2, 0, 1, 3, 4))[1], 1)) is None
    vector = after(whole, "Gather", (1, B, HEADS, L, WIDTH), number(1), axis=0)
    assert split_rows(vector) is None
    moving = value("moving", ())
    assert split_rows(after(whole, "Gather", (B, HEADS, L, WIDTH), moving, axis=0)) is None


def test_an_input_has_no_rows() -> None:
    assert split_rows(value("latent", (B, HEADS, L, WIDTH))) is None
    assert split_rows(None) is None


def merged(
    perm: tuple[int, ...] = (0, 2, 1, 3), sizes: Sizes = (B, L, CHANNELS)
) -> tuple[ir.Value, ir.Value, ir.Value]:
    """(attention output, transposed, rows)."""
    heads = value("heads", (B, HEADS, L, WIDTH))
    swapped = after(heads, "Transpose", (B, L, HEADS, WIDTH), perm=perm)
    return heads, swapped, after(swapped, "Reshape", sizes, number(0, 0, CHANNELS))


def test_merged_heads_are_found() -> None:
    heads, _, rows = merged()
    assert merged_rows(heads) is rows


@pytest.mark.parametrize(
    ("perm", "sizes"),
    [
        ((0, 1, 2, 3), (B, L, CHANNELS)),
        ((0, 2, 1, 3), (B, CHANNELS, L)),
        ((0, 2, 1, 3), (None, None, CHANNELS)),
        ((0, 2, 1, 3), (B, L, HEADS, WIDTH)),
    ],
)
def test_other_shapes_are_no_merge(perm: tuple[int, ...], sizes: Sizes) -> None:
    assert merged_rows(merged(perm, sizes)[0]) is None


def test_a_second_user_prevents_the_merge() -> None:
    heads, swapped, _ = merged()
    after(swapped, "Relu", (B, L, HEADS, WIDTH))
    assert merged_rows(heads) is None
    heads, _, _ = merged()
    after(heads, "Relu", (B, HEADS, L, WIDTH))
    assert merged_rows(heads) is None


def test_fixed_sizes() -> None:
    assert fixed_size(value("x", (B, 7)), 1) == 7
    assert fixed_size(value("x", (B, 7)), 0) == -1
    assert fixed_size(value("x", (B, 7)), 2) == -1
    assert fixed_size(None, 0) == -1
