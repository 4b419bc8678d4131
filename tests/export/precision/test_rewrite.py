"""Narrowed graphs: which node computes in which type, where the Casts are, and what stays as is."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from denoisert.export.graph.attention_3d import lower_attention
from denoisert.export.graph.group_norm import lower_group_norm
from denoisert.export.precision.rewrite import name_of, narrow
from denoisert.runtime.errors import InvalidInput, UnsupportedOperator
from tests.export.precision.narrowed import (
    FLOAT,
    HALVES,
    block,
    casts,
    check_typed,
    dtypes,
    graph_of,
    read_dtypes,
)
from tests.export.running import kinds
from tests.runtime.engines.torch.graphs import node, weight

EACH = pytest.mark.parametrize("dtype", list(HALVES))
LATENT = {"x": ["lanes", 4, 6, 6]}


def narrowed(model: ir.Model, dtype: str = "float16", keep=()) -> tuple[ir.Model, int]:
    copy = model.clone()
    count = narrow(copy, dtype, keep)
    check_typed(copy)
    return copy, count


@EACH
def test_a_block_has_a_cast_for_each_border_and_no_other(dtype: str) -> None:
    half = HALVES[dtype]
    model, count = narrowed(block(), dtype)
    assert casts(model) == [("x", half), ("wave", half), (f"y.{dtype}", FLOAT)]
    wide = {name for name, kind in dtypes(model).items() if kind is FLOAT}
    assert wide == {"column", "phase", "wave", "y"}
    assert count == 15, "all eighteen nodes but the three in front of the first weights"
    for name, read in (("shift", 2), ("c", 3), ("e", 2), ("b", 3)):
        assert read_dtypes(model, name) == [half] * read


@EACH
def test_ports_and_names_stay(dtype: str) -> None:
    before = block()
    model, _ = narrowed(before, dtype)
    for old, new in (
        (before.graph.inputs, model.graph.inputs),
        (before.graph.outputs, model.graph.outputs),
    ):
        assert [(v.name, v.dtype, tuple(v.shape)) for v in old] == [
            (v.name, v.dtype, tuple(v.shape)) for v in new
        ]
    assert set(model.graph.initializers) == set(before.graph.initializers)
    whole = {"one", "frequency"}
    halves = {v.name for v in model.graph.initializers.values() if v.dtype is HALVES[dtype]}
    assert halves == set(before.graph.initializers) - whole


def test_the_graph_that_was_copied_does_not_change() -> None:
    model = block()
    before = ir.to_proto(model).SerializeToString()
    for dtype in HALVES:
        narrowed(model, dtype)
    assert ir.to_proto(model).SerializeToString() == before


def test_float32_is_what_the_graph_is_already() -> None:
    model = block()
    before = ir.to_proto(model).SerializeToString()
    assert narrow(model, "float32") == 0
    assert ir.to_proto(model).SerializeToString() == before


def test_a_graph_of_integers_does_not_change() -> None:
    nodes = [node("Add", "i_x i_x", "i_a"), node("Shape", "i_a", "i_y")]
    model = graph_of(nodes, {"i_x": ["lanes", 2]}, {"i_y": [2]})
    copy, count = narrowed(model)
    assert count == 0
    assert kinds(copy) == ["Add", "Shape"]


def test_a_narrowed_graph_stays_as_it_is() -> None:
    model, count = narrowed(block())
    again, more = narrowed(model)
    assert more == 0 < count
    assert kinds(again) == kinds(model)


@EACH
def test_kept_nodes_stay_float32_between_casts(dtype: str) -> None:
    half = HALVES[dtype]
    model, count = narrowed(block(), dtype, {"f", "h"})
    assert read_dtypes(model, "f") == read_dtypes(model, "h") == [FLOAT, FLOAT]
    assert dtypes(model)["g"] is FLOAT, "what reads float32 alone stays float32"
    assert read_dtypes(model, "y") == [half, half]
    assert ("e", FLOAT) in casts(model)
    assert ("h", half) in casts(model)
    assert len(casts(model)) == 5
    assert count == 12
    assert model.graph.initializers["w_up"].dtype is FLOAT


def test_everything_kept_is_the_graph_itself() -> None:
    before = block()
    model, count = narrowed(before, keep=[name_of(each) for each in before.graph])
    assert count == 0
    assert kinds(model) == kinds(before)


def test_a_value_is_cast_once_for_all_that_read_it() -> None:
    nodes = [
        node("MatMul", "x w", "a"),
        node("Exp", "a", "b"),
        node("Exp", "a", "c"),
        node("Add", "b c", "d"),
        node("MatMul", "d w", "e"),
        node("MatMul", "d w", "f"),
        node("Add", "e f", "y"),
    ]
    ports = {"x": ["lanes", 4]}, {"y": ["lanes", 4]}
    model, _ = narrowed(graph_of(nodes, *ports, {"w": weight(4, 4)}))
    half = HALVES["float16"]
    assert casts(model) == [("x", half), ("a", FLOAT), ("d", half), ("y.float16", FLOAT)]


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


LATENT_OUT = {"y": LATENT["x"]}


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


def test_a_weight_is_half_before_it_is_moved_and_wide_where_a_phase_reads_it() -> None:
    nodes = [
        node("Transpose", "w", "turned"),
        node("MatMul", "x turned", "a"),
        node("Mul", "time turned", "phase"),
        node("Sin", "phase", "wave"),
        node("Add", "a wave", "y"),
    ]
    copy, _ = narrowed(
        graph_of(nodes, {"x": [3, 3], "time": [3]}, {"y": [3, 3]}, {"w": weight(3, 3)})
    )
    half = HALVES["float16"]
    found = dtypes(copy)
    assert found["turned"] is FLOAT
    assert found["turned.float16"] is half
    assert read_dtypes(copy, "a") == [half, half]
    assert read_dtypes(copy, "phase") == [FLOAT, FLOAT]
    assert {v.name: v.dtype for v in copy.graph.initializers.values()} == {
        "w": FLOAT,
        "w.float16": half,
    }


def test_what_is_computed_from_constants_is_cast_behind() -> None:
    nodes = [node("Add", "w w", "twice"), node("MatMul", "x twice", "y")]
    model = graph_of(nodes, {"x": ["lanes", 3]}, {"y": ["lanes", 3]}, {"w": weight(3, 3)})
    copy, count = narrowed(model)
    assert read_dtypes(copy, "twice") == [FLOAT, FLOAT]
    assert ("twice", HALVES["float16"]) in casts(copy)
    assert count == 1


def test_integers_are_cast_to_half_at_once() -> None:
    nodes = [node("Cast", "i_x", "a", to=TensorProto.FLOAT), node("MatMul", "a w", "y")]
    model = graph_of(nodes, {"i_x": ["lanes", 3]}, {"y": ["lanes", 3]}, {"w": weight(3, 3)})
    copy, _ = narrowed(model)
    assert casts(copy) == [("i_x", HALVES["float16"]), ("y.float16", FLOAT)]


def test_casts_to_what_a_value_is_already_disappear() -> None:
    nodes = [
        node("MatMul", "x w", "a"),
        node("Cast", "a", "b", to=TensorProto.FLOAT),
        node("MatMul", "b w", "y"),
    ]
    model = graph_of(nodes, {"x": ["lanes", 3]}, {"y": ["lanes", 3]}, {"w": weight(3, 3)})
    copy, _ = narrowed(model)
    assert casts(copy) == [("x", HALVES["float16"]), ("y.float16", FLOAT)]


def test_casts_to_integers_read_what_is_there() -> None:
    nodes = [
        node("MatMul", "x w", "a"),
        node("Cast", "a", "i_b", to=TensorProto.INT64),
        node("Gather", "table i_b", "y"),
    ]
    weights = {"w": weight(3, 3), "table": weight(9, 4)}
    model = graph_of(nodes, {"x": ["lanes", 3]}, {"y": ["lanes", 3, 4]}, weights)
    copy, _ = narrowed(model)
    assert read_dtypes(copy, "i_b") == [HALVES["float16"]]


def test_a_file_s_own_half_type_is_left_as_it_is() -> None:
    nodes = [
        node("Cast", "x", "a", to=TensorProto.FLOAT16),
        node("Neg", "a", "b"),
        node("Cast", "b", "c", to=TensorProto.FLOAT),
        node("MatMul", "c w", "y"),
    ]
    model = graph_of(nodes, {"x": ["lanes", 3]}, {"y": ["lanes", 3]}, {"w": weight(3, 3)})
    copy, count = narrowed(model)
    half = HALVES["float16"]
    assert read_dtypes(copy, "y") == [half, half]
    assert casts(copy) == [("x", half), ("y.float16", FLOAT)], "there and back is no way"
    assert count == 1
    other, _ = narrowed(model, "bfloat16")
    assert read_dtypes(other, "b") == [half]
    assert read_dtypes(other, "y") == [HALVES["bfloat16"]] * 2


def test_an_output_that_others_read_is_shown_in_float32() -> None:
    nodes = [node("MatMul", "x w", "y"), node("Exp", "y", "z")]
    model = graph_of(
        nodes, {"x": ["lanes", 3]}, {"y": ["lanes", 3], "z": ["lanes", 3]}, {"w": weight(3, 3)}
    )
    copy, _ = narrowed(model)
    assert [value.name for value in copy.graph.outputs] == ["y", "z"]
    assert casts(copy) == [("x", HALVES["float16"]), ("y.float16", FLOAT)], "one Cast for both"


def test_an_input_may_be_an_output_and_a_weight_may_be_one() -> None:
    nodes = [node("MatMul", "x w", "y")]
    model = graph_of(nodes, {"x": ["lanes", 3]}, {"y": ["lanes", 3]}, {"w": weight(3, 3)})
    model.graph.outputs.extend([model.graph.inputs[0], model.graph.initializers["w"]])
    copy, _ = narrowed(model)
    assert [value.dtype for value in copy.graph.outputs] == [FLOAT] * 3
    assert [value.name for value in copy.graph.outputs] == ["y", "x", "w"]


def test_types_that_a_file_does_not_say_are_inferred() -> None:
    model = block()
    for each in model.graph:
        for value in each.outputs:
            if not value.is_graph_output():
                value.type = value.shape = None
    copy, count = narrowed(model)
    assert count == 15
    assert len(casts(copy)) == 3


def test_constant_nodes_become_weights() -> None:
    constant = helper.make_node("Constant", [], ["two"], name="two", value_float=2.0)
    nodes = [constant, node("Mul", "x two", "y")]
    copy, count = narrowed(graph_of(nodes, LATENT, LATENT_OUT))
    assert count == 1
    assert read_dtypes(copy, "y") == [HALVES["float16"]] * 2
    assert "Constant" not in kinds(copy)


@EACH
def test_lowered_forms_are_narrowed_too(traced: ir.Model, dtype: str) -> None:
    model = traced.clone()
    lower_group_norm(model)
    lower_attention(model)
    copy, count = narrowed(model, dtype)
    assert count > 0
    assert {"InstanceNormalization"} <= set(kinds(copy))


def test_branches_are_refused_by_name() -> None:
    out = helper.make_tensor_value_info("o", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Neg", ["x"], ["o"])], "branch", [], [out])
    choice = helper.make_node(
        "If", ["yes"], ["y"], name="choice", then_branch=branch, else_branch=branch
    )
    proto = helper.make_model(
        helper.make_graph(
            [choice],
            "graph",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]),
                helper.make_tensor_value_info("yes", TensorProto.BOOL, []),
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        ),
        opset_imports=[helper.make_opsetid("", 23)],
    )
    onnx.checker.check_model(proto)
    with pytest.raises(UnsupportedOperator, match="If 'choice' has a graph of its own"):
        narrow(ir.from_proto(proto), "float16")


def test_other_types_are_refused() -> None:
    with pytest.raises(InvalidInput, match="'int8' asked for"):
        narrow(block(), "int8")


def test_a_node_without_a_name_is_called_after_its_output() -> None:
    model = block()
    first = next(iter(model.graph))
    assert name_of(first) == "column"
    first.name = None
    assert name_of(first) == "column"
