"""The rules of what stays float32, on their own."""

import pytest

from denoisert.runtime.engines.wide import (
    MIXING,
    OUT_OF_RANGE,
    WEIGHTS,
    Reads,
    is_outer,
    is_square,
    is_wide,
    phases,
)


@pytest.mark.parametrize("op", sorted(WEIGHTS))
def test_weights_are_half_whatever_they_read(op: str) -> None:
    assert not is_wide(Reads(op, half=0, wide=2))
    assert not is_wide(Reads(op, half=1, wide=1))


@pytest.mark.parametrize("op", sorted(OUT_OF_RANGE))
def test_what_leaves_the_range_is_wide_whatever_it_reads(op: str) -> None:
    assert is_wide(Reads(op, half=1, wide=0))
    assert is_wide(Reads(op, half=0, wide=1))


@pytest.mark.parametrize("op", ["Add", "Concat", "LayerNormalization", "Reshape"])
def test_other_operators_are_half_as_soon_as_they_read_one_half(op: str) -> None:
    assert is_wide(Reads(op, half=0, wide=2))
    assert not is_wide(Reads(op, half=1, wide=2))
    assert not is_wide(Reads(op, half=1, wide=0))


def test_of_what_reads_no_float_only_casts_are_wide() -> None:
    assert is_wide(Reads("Cast", half=0, wide=0))
    assert not is_wide(Reads("Gather", half=0, wide=0))


def test_squares_and_outer_products_are_wide() -> None:
    assert is_wide(Reads("Mul", half=2, wide=0, is_square=True))
    assert is_wide(Reads("MatMul", half=0, wide=1, is_outer=True))
    assert not is_wide(Reads("MatMul", half=1, wide=0, is_outer=True))


def test_a_square_reads_the_same_value_twice() -> None:
    assert is_square("Mul", ["x", "x"])
    assert not is_square("Mul", ["x", "y"])
    assert not is_square("Add", ["x", "x"])


@pytest.mark.parametrize(
    ("shapes", "wanted"),
    [
        ([("lanes", 3, 1), None], True),
        ([None, ("lanes", 1, 3)], True),
        ([("lanes", 1, 3), None], False),
        ([None, ("lanes", 3, 1)], False),
        ([(1, 3), (3, 1)], False),
        ([None, None], False),
        ([(), None], False),
    ],
)
def test_an_outer_product_sums_one_term(shapes: list, wanted: bool) -> None:
    assert is_outer("MatMul", shapes) is wanted
    assert not is_outer("Gemm", shapes)


def test_phases_reach_back_to_the_last_activation() -> None:
    nodes = [
        ("Mul", ["ids", "frequency"], ["a"]),
        ("Add", ["a", "x"], ["b"]),
        ("Sin", ["b"], ["wave"]),
        ("MatMul", ["wave", "w"], ["c"]),
        ("Cos", ["d"], ["e"]),
    ]
    assert phases(nodes) == {"ids", "frequency", "a", "x", "b", "d"}
    assert phases([("MatMul", ["x", "w"], ["b"]), ("Sin", ["b"], ["y"])]) == {"b"}
    assert "LayerNormalization" in MIXING
