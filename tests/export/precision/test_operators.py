"""Operators in half types: which of their inputs follow, and which operators stay float32."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from denoisert.export.precision.rewrite import narrow
from tests.export.precision.narrowed import (
    FLOAT,
    HALVES,
    LATENT,
    LATENT_OUT,
    casts,
    dtypes,
    graph_of,
    narrowed,
    read_dtypes,
)
from tests.runtime.engines.torch.graphs import node, weight

EACH = pytest.mark.parametrize("dtype", list(HALVES))


@pytest.mark.parametrize(
    ("op", "attributes", "inputs", "weights"),
    [
        ("Conv", {"pads": [1, 1, 1, 1]}, "w b", {"w": weight(4, 4, 3, 3), "b": weight(4)}),
        ("ConvTranspose", {}, "w", {"w": weight(4, 2, 3, 3)}),
        ("GroupNormalization", {"num_groups": 2}, "s b", {"s": weight(4), "b": weight(4)}),
        ("InstanceNormalization", {}, "s b", {"s": weight(4), "b": weight(4)}),
        ("LayerNormalization", {}, "s", {"s": weight(6)}),
        ("RMSNormalization", {}, "s", {"s": weight(6)}),
        ("Clip", {}, "l h", {"l": np.float32(-1), "h": np.float32(1)}),
        ("Where", {}, "z", {"z": np.float32(0)}),
        ("Pad", {}, "p v", {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "v": np.float32(0)}),
        ("Max", {}, "m", {"m": np.float32(0)}),
        ("PRelu", {}, "s", {"s": weight(4, 1, 1)}),
        ("Softmax", {}, "", {}),
        ("ReduceMax", {"axes": None}, "", {}),
        ("Split", {"num_outputs": 2, "axis": 1}, "", {}),
        ("Gather", {"axis": 1}, "i", {"i": np.array([1, 0])}),
        ("CastLike", {}, "l", {"l": np.float32(0)}),
        ("Sqrt", {}, "", {}),
    ],
)
@EACH
def test_every_float_of_an_operator_is_half(op, attributes, inputs, weights, dtype: str) -> None:
    read = f"x {inputs}" if op != "Where" else "keep x z"
    outputs = "a rest" if op == "Split" else "a"
    options = {key: value for key, value in attributes.items() if value is not None}
    nodes = [node(op, read.strip(), outputs, **options), node("Neg", "a", "y")]
    weights = weights | ({"keep": np.array(True)} if op == "Where" else {})
    shape = None if op in ("ReduceMax", "ConvTranspose", "Split", "Gather", "Pad") else LATENT["x"]
    model = graph_of(nodes, LATENT, {"y": shape}, weights)
    copy, count = narrowed(model, dtype)
    half = HALVES[dtype]
    whole = {ir.DataType.INT64, ir.DataType.BOOL}
    assert set(read_dtypes(copy, outputs.split()[0])) - whole == {half}
    assert count == 2
    assert len(casts(copy)) == 2


@pytest.mark.parametrize("op", ["Pow", "Exp", "CumSum", "ReduceMean", "ReduceSum", "Reciprocal"])
def test_results_that_may_leave_the_range_are_float32(op: str) -> None:
    second = {"Pow": " two", "CumSum": " axis", "ReduceMean": " axes", "ReduceSum": " axes"}
    nodes = [
        node("Neg", "x", "a"),
        node(op, "a" + second.get(op, ""), "b"),
        node("Add", "a b", "y"),
    ]
    weights = {"two": np.float32(2), "axis": np.array(1), "axes": np.array([1])}
    used = {name: array for name, array in weights.items() if name in second.get(op, "").split()}
    copy, _ = narrowed(graph_of(nodes, LATENT, {"y": LATENT["x"]}, used))
    assert dtypes(copy)["b"] is FLOAT
    assert read_dtypes(copy, "b")[0] is FLOAT
    assert read_dtypes(copy, "y") == [HALVES["float16"]] * 2


def test_squares_are_float32_and_products_are_not() -> None:
    nodes = [node("Neg", "x", "a"), node("Mul", "a a", "b"), node("Mul", "a b", "y")]
    copy, _ = narrowed(graph_of(nodes, LATENT, {"y": LATENT["x"]}))
    assert dtypes(copy)["b"] is FLOAT
    assert read_dtypes(copy, "y") == [HALVES["float16"]] * 2


@pytest.mark.parametrize("by", ["scales", "sizes"])
@EACH
def test_scales_of_a_resize_stay_float32(by: str, dtype: str) -> None:
    last = {"scales": np.array([1, 1, 2, 2], np.float32), "sizes": np.array([1, 4, 12, 12])}[by]
    read = "x  s" if by == "scales" else "x   s"
    resize = helper.make_node("Resize", read.split(" "), ["a"], name="a")
    nodes = [resize, node("Neg", "a", "y")]
    model = graph_of(nodes, {"x": [1, 4, 6, 6]}, {"y": [1, 4, 12, 12]}, {"s": last})
    copy, count = narrowed(model, dtype)
    half = HALVES[dtype]
    kept = FLOAT if by == "scales" else ir.DataType.INT64
    assert [kind for kind in read_dtypes(copy, "a") if kind] == [half, kept]
    assert count == 2


@pytest.mark.parametrize(("dtype", "is_half"), [("float16", True), ("bfloat16", False)])
def test_an_operator_without_the_type_stays_float32(dtype: str, is_half: bool) -> None:
    nodes = [
        node("Neg", "x", "a"),
        node("Einsum", "a w", "b", equation="bij,jk->bik"),
        node("TopK", "b two", "c i_places"),
        node("Neg", "c", "y"),
    ]
    weights = {"w": weight(4, 5), "two": np.array([2])}
    model = graph_of(nodes, {"x": ["lanes", 3, 4]}, {"y": ["lanes", 3, 2]}, weights)
    copy, count = narrowed(model, dtype)
    assert (dtypes(copy)["b"] is HALVES[dtype]) == is_half
    assert (dtypes(copy)["c"] is HALVES[dtype]) == is_half
    assert count == (4 if is_half else 1)


def test_operators_that_onnx_does_not_define_stay_float32() -> None:
    model = graph_of(
        [node("Neg", "x", "a"), node("Neg", "a", "b"), node("Neg", "b", "y")], LATENT, LATENT_OUT
    )
    foreign = next(each for each in model.graph if each.name == "b")
    foreign.domain, foreign.op_type = "com.example", "Unknown"
    model.graph.opset_imports["com.example"] = 1
    narrow(model, "float16")
    assert read_dtypes(model, "b") == [FLOAT]
    assert dtypes(model)["b"] is FLOAT
    assert ("a", FLOAT) in casts(model)


@pytest.mark.parametrize("rank", [3, 4])
@EACH
def test_attention_of_both_forms_is_half_with_its_mask(rank: int, dtype: str) -> None:
    shape = ["lanes", 5, 8] if rank == 3 else ["lanes", 2, 5, 4]
    heads = {"q_num_heads": 2, "kv_num_heads": 2} if rank == 3 else {}
    nodes = [
        node("Cast", "i_mask", "told", to=TensorProto.FLOAT),
        node("Sub", "one told", "absent"),
        node("Mul", "absent lowest", "bias"),
        node("Attention", "x x x bias", "y", **heads),
    ]
    lowest = np.float32(np.finfo(np.float32).min)
    ports = {"x": shape, "i_mask": ["lanes", 1, 1, 5]}, {"y": shape}
    model = graph_of(nodes, *ports, {"one": np.float32(1), "lowest": lowest})
    copy, count = narrowed(model, dtype)
    assert read_dtypes(copy, "y") == [HALVES[dtype]] * 4
    assert count == 1
    assert casts(copy) == [
        ("x", HALVES[dtype]),
        ("i_mask", FLOAT),
        ("bias", HALVES[dtype]),
        (f"y.{dtype}", FLOAT),
    ]


def test_positions_of_two_dimensions_stay_float32_up_to_their_sine() -> None:
    nodes = [
        node("Unsqueeze", "ids two", "column"),
        node("Mul", "column frequency", "phase"),
        node("Cos", "phase", "wave"),
        node("Mul", "x wave", "y"),
    ]
    ports = {"x": ["lanes", 3, 4], "ids": ["lanes", 3]}, {"y": ["lanes", 3, 4]}
    weights = {"two": np.array([2]), "frequency": weight(4)}
    copy, count = narrowed(graph_of(nodes, *ports, weights))
    assert count == 1
    assert [name for name, _ in casts(copy)] == ["x", "wave", "y.float16"]
