"""Random operators as inputs: the same numbers in, the same numbers out, of the right law."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest
from onnx import NodeProto, TensorProto, helper
from onnx.helper import make_node

from denoisert.export.graph.lift_random import lift_random
from denoisert.runtime.errors import UnsupportedOperator
from tests.export.running import kinds, run_model
from tests.export.small_graphs import graph_of

GENERATOR = np.random.default_rng(5)
X = GENERATOR.standard_normal((2, 3, 4)).astype(np.float32)
UNIFORM = GENERATOR.random((2, 3, 4), np.float32)


def drawing(
    *nodes: NodeProto, weights: Mapping[str, np.ndarray] | None = None, opset: int = 20
) -> ir.Model:
    """The nodes between x (n, 3, 4) and y."""
    return graph_of(nodes, {"x": ("n", 3, 4)}, {"y": None}, weights, opset=opset)


def added(kind: str, **attributes: float) -> ir.Model:
    """y = x + what a random operator gives."""
    sources = ["x"] if kind.endswith("Like") else []
    return drawing(
        make_node(kind, sources, ["r"], **attributes), make_node("Add", ["x", "r"], ["y"])
    )


def lifted_names(model: ir.Model) -> list[str]:
    return [str(value.name) for value in lift_random(model)]


@pytest.mark.parametrize("opset", [17, 22, 23])
def test_normal_numbers_are_scaled_and_shifted_in_the_graph(opset: int) -> None:
    nodes = [
        make_node("RandomNormalLike", ["x"], ["r"], mean=1.5, scale=3.0, seed=7.0),
        make_node("Add", ["x", "r"], ["y"]),
    ]
    model = drawing(*nodes, opset=opset)
    assert lifted_names(model) == ["random_1"]
    assert [str(size) for size in model.graph.inputs[1].shape] == ["n", "3", "4"]
    found = run_model(model, {"x": X, "random_1": UNIFORM})["y"]
    np.testing.assert_allclose(found, X + 1.5 + 3 * UNIFORM, rtol=1e-6)


def test_standard_normal_numbers_are_taken_as_they_are() -> None:
    model = added("RandomNormalLike")
    lift_random(model)
    assert kinds(model) == ["Identity", "Add"]


def test_uniform_numbers_and_shapes_of_the_operator_s_own() -> None:
    model = added("RandomUniform", low=-2.0, high=4.0, shape=[2, 3, 4])
    (value,) = lift_random(model)
    assert tuple(value.shape) == (2, 3, 4)
    found = run_model(model, {"x": X, "random_1": UNIFORM})["y"]
    np.testing.assert_allclose(found, X - 2 + 6 * UNIFORM, rtol=1e-6, atol=1e-6)


def test_another_type_is_cast() -> None:
    nodes = [
        make_node("RandomUniformLike", ["x"], ["r"], dtype=TensorProto.DOUBLE),
        make_node("Cast", ["r"], ["y"], to=TensorProto.FLOAT),
    ]
    model = drawing(*nodes)
    lift_random(model)
    found = run_model(model, {"x": X, "random_1": UNIFORM})["y"]
    np.testing.assert_array_equal(found, UNIFORM)


def test_bernoulli_says_yes_as_often_as_it_should() -> None:
    nodes = [make_node("Sigmoid", ["x"], ["p"]), make_node("Bernoulli", ["p"], ["y"])]
    model = drawing(*nodes)
    assert lifted_names(model) == ["random_1"]
    found = run_model(model, {"x": X, "random_1": UNIFORM})["y"]
    np.testing.assert_array_equal(found, 1 / (1 + np.exp(-X)) > UNIFORM)


@pytest.mark.parametrize("ratio", [0.3, 0.5])
def test_dropout_in_training_drops_and_scales(ratio: float) -> None:
    weights = {"ratio": np.array(ratio, np.float32), "mode": np.array(True)}
    model = drawing(make_node("Dropout", ["x", "ratio", "mode"], ["y"]), weights=weights)
    assert lifted_names(model) == ["random_1"]
    found = run_model(model, {"x": X, "random_1": UNIFORM})["y"]
    np.testing.assert_allclose(found, X * (np.float32(ratio) <= UNIFORM) / (1 - ratio), rtol=1e-6)


@pytest.mark.parametrize("weights", [{}, {"ratio": 0.5}, {"ratio": 0.5, "mode": False}])
def test_dropout_that_drops_nothing_stays(weights: dict[str, float]) -> None:
    kinds_of = {"ratio": np.float32, "mode": np.bool_}
    given = {name: np.array(value, kinds_of[name]) for name, value in weights.items()}
    model = drawing(make_node("Dropout", ["x", *given], ["y"]), weights=given)
    assert lift_random(model) == ()
    assert kinds(model) == ["Dropout"]


def test_multinomial_draws_from_its_logits() -> None:
    nodes = [make_node("Multinomial", ["x"], ["y"], sample_size=4000)]
    logits = np.log(np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]], np.float32))
    types = {"y": TensorProto.INT32}
    model = graph_of(nodes, {"x": ("n", 3)}, {"y": ("n", 4000)}, kinds=types)
    (value,) = lift_random(model)
    assert [str(size) for size in value.shape] == ["n", "4000", "3"]
    uniform = np.random.default_rng(1).random((2, 4000, 3), np.float32)
    uniform[0, 0], uniform[0, 1] = 0.0, 1.0
    found = run_model(model, {"x": logits, "random_1": uniform})["y"]
    shares = np.stack([(found == number).mean(1) for number in range(3)], 1)
    np.testing.assert_allclose(shares, np.exp(logits), atol=0.03)


def test_several_are_numbered_beside_names_that_are_taken() -> None:
    nodes = [
        make_node("RandomNormalLike", ["x"], ["a"]),
        make_node("RandomUniformLike", ["x"], ["b"]),
        make_node("Sum", ["x", "a", "b", "random_1"], ["y"]),
    ]
    sizes = {"x": ("n", 3, 4), "random_1": ("n", 3, 4)}
    model = graph_of(nodes, sizes, {"y": None})
    assert lifted_names(model) == ["random_2", "random_3"]


def test_what_cannot_be_an_input_is_refused() -> None:
    weights = {"ratio": np.array(0.5, np.float32), "mode": np.array(True)}
    masked = make_node("Dropout", ["x", "ratio", "mode"], ["d", "mask"])
    model = drawing(masked, make_node("Where", ["mask", "x", "d"], ["y"]), weights=weights)
    with pytest.raises(UnsupportedOperator, match="evaluation mode"):
        lift_random(model)
    inner = helper.make_graph(
        [make_node("RandomNormalLike", ["x"], ["inner"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    node = make_node("If", ["yes"], ["y"], then_branch=inner, else_branch=inner)
    with pytest.raises(UnsupportedOperator, match="inside a branch"):
        lift_random(drawing(node, weights={"yes": np.array(True)}))
    nameless = added("RandomNormalLike")
    nameless.graph.inputs[0].shape = None
    with pytest.raises(UnsupportedOperator, match="shape is not known"):
        lift_random(nameless)


def test_a_graph_that_draws_nothing_stays_as_it_is() -> None:
    model = drawing(make_node("Relu", ["x"], ["y"]))
    assert lift_random(model) == ()
    assert len(model.graph.inputs) == 1
