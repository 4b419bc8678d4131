"""Values in two types: constants, what is moved, what is cast already, and ports."""

from __future__ import annotations

import pytest
from onnx import TensorProto, helper

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
from tests.export.running import kinds
from tests.runtime.engines.torch.graphs import node, weight

EACH = pytest.mark.parametrize("dtype", list(HALVES))


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


def test_constant_nodes_become_weights() -> None:
    constant = helper.make_node("Constant", [], ["two"], name="two", value_float=2.0)
    nodes = [constant, node("Mul", "x two", "y")]
    copy, count = narrowed(graph_of(nodes, LATENT, LATENT_OUT))
    assert count == 1
    assert read_dtypes(copy, "y") == [HALVES["float16"]] * 2
    assert "Constant" not in kinds(copy)
