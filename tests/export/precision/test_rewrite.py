"""Narrowed graphs: what computes in which type, where the Casts are, and what stays as it is."""

from __future__ import annotations

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
    dtypes,
    graph_of,
    narrowed,
    read_dtypes,
)
from tests.export.running import kinds
from tests.runtime.engines.torch.graphs import node

EACH = pytest.mark.parametrize("dtype", list(HALVES))


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


def test_types_that_a_file_does_not_say_are_inferred() -> None:
    model = block()
    for each in model.graph:
        for value in each.outputs:
            if not value.is_graph_output():
                value.type = value.shape = None
    copy, count = narrowed(model)
    assert count == 15
    assert len(casts(copy)) == 3


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
