"""Outputs that nobody reads go, with what only they need."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx.helper import make_node

from denoisert.export.graph.dead_outputs import Dropped, drop_dead_outputs
from tests.export.running import kinds, run_model
from tests.export.small_graphs import graph_of

NODES = [
    make_node("Tanh", ["x"], ["shared"]),
    make_node("Mul", ["shared", "gain"], ["y"]),
    make_node("MatMul", ["shared", "w"], ["hidden"]),
    make_node("Add", ["hidden", "bias"], ["map"]),
]
X = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


def two_outputs() -> ir.Model:
    """y of x and gain; beside it hidden and map, of which only map needs the input bias."""
    return graph_of(
        NODES,
        {"x": ("n", 4), "gain": ("n", 4), "bias": ("n", 4), "idle": ("n", 2)},
        {"map": ("n", 4), "y": ("n", 4), "hidden": ("n", 4)},
        {"w": np.ones((4, 4), np.float32)},
    )


def test_what_only_dead_outputs_need_goes_with_them() -> None:
    model = two_outputs()
    assert drop_dead_outputs(model, {"y"}) == Dropped(("map", "hidden"), ("bias", "idle"))
    assert kinds(model) == ["Tanh", "Mul"]
    assert not model.graph.initializers
    assert [value.name for value in model.graph.inputs] == ["x", "gain"]
    found = run_model(model, {"x": X, "gain": 2 * np.ones_like(X)})
    np.testing.assert_allclose(found["y"], 2 * np.tanh(X), rtol=1e-6)


def test_inputs_that_are_fed_anyway_stay() -> None:
    model = two_outputs()
    assert drop_dead_outputs(model, {"y"}, {"x", "gain", "idle"}).inputs == ("bias",)
    assert [value.name for value in model.graph.inputs] == ["x", "gain", "idle"]


def test_an_output_that_another_needs_is_computed_but_not_given() -> None:
    model = two_outputs()
    assert drop_dead_outputs(model, {"map", "y"}).outputs == ("hidden",)
    assert kinds(model) == [node.op_type for node in NODES]
    assert [value.name for value in model.graph.outputs] == ["map", "y"]


def test_an_input_given_unchanged_is_not_idle() -> None:
    model = graph_of([make_node("Relu", ["x"], ["y"])], {"x": ("n", 4)}, {"y": ("n", 4)})
    model.graph.outputs.append(model.graph.inputs[0])
    assert drop_dead_outputs(model, {"y", "x"}) == Dropped((), ())


def test_a_graph_that_gives_what_is_read_stays_as_it_is() -> None:
    model = two_outputs()
    names = {"x", "gain", "bias", "idle"}
    assert drop_dead_outputs(model, {"y", "hidden", "map"}, names) == Dropped((), ())
    assert kinds(model) == [node.op_type for node in NODES]


def test_a_graph_without_any_output_that_is_read_is_left_to_whoever_refuses_it() -> None:
    model = two_outputs()
    assert drop_dead_outputs(model, {"prediction"}) == Dropped((), ())
    assert len(model.graph.outputs) == 3
