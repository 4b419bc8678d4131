"""What of a node is half together, by its operator's schema."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from denoisert.export.precision.places import Places, fill_types, places
from tests.export.precision.narrowed import FLOAT, HALVES, graph_of
from tests.runtime.engines.torch.graphs import node, weight

X = {"x": ["lanes", 4, 6]}


def found(model: ir.Model, name: str, dtype: str = "float16", opset: int = 23) -> Places | None:
    model.graph.opset_imports[""] = opset
    each = next(each for each in model.graph if each.name == name)
    read = [i for i, value in enumerate(each.inputs) if value is not None and value.dtype is FLOAT]
    written = [i for i, value in enumerate(each.outputs) if value.dtype is FLOAT]
    return places(each, read, written, HALVES[dtype])


def norm(outputs: str) -> ir.Model:
    nodes = [node("LayerNormalization", "x s", outputs), node("Neg", "y", "z")]
    return graph_of(nodes, X, {"z": X["x"]}, {"s": weight(6)})


def test_inputs_and_outputs_of_one_parameter_go_together() -> None:
    assert found(norm("y"), "y") == Places((0, 1), (0,))


def test_moments_that_nobody_reads_stay_what_they_are() -> None:
    assert found(norm("y mean deviation"), "y") == Places((0, 1), (0,))


def test_moments_that_somebody_reads_keep_the_node_in_float32() -> None:
    model = norm("y mean deviation")
    model.graph.outputs.append(next(iter(model.graph)).outputs[1])
    assert found(model, "y") is None


def test_all_inputs_of_an_operator_that_takes_any_number() -> None:
    model = graph_of([node("Concat", "x x x", "y", axis=1)], X, {"y": ["lanes", 12, 6]})
    assert found(model, "y") == Places((0, 1, 2), (0,))


def test_a_type_may_come_with_a_later_opset() -> None:
    nodes = [node("Neg", "x", "a"), node("TopK", "a two", "b i_places"), node("Neg", "b", "y")]
    model = graph_of(nodes, X, {"y": ["lanes", 4, 2]}, {"two": np.array([2])})
    assert found(model, "b", "bfloat16", opset=23) is None
    assert found(model, "b", "bfloat16", opset=24) is not None
    assert found(model, "b", "float16", opset=23) is not None


def test_a_domain_without_a_version_has_no_schema() -> None:
    model = graph_of([node("Neg", "x", "y")], X, {"y": X["x"]})
    next(iter(model.graph)).domain = "com.example"
    assert found(model, "y") is None


@pytest.mark.parametrize("dtype", list(HALVES))
def test_types_are_filled_from_what_an_operator_reads(dtype: str) -> None:
    weights = {"s": weight(4), "b": weight(4)}
    nodes = [node("GroupNormalization", "x s b", "a", num_groups=2), node("Neg", "a", "y")]
    model = graph_of(nodes, X, {"y": X["x"]}, weights)
    value = next(iter(model.graph)).outputs[0]
    value.type = None
    for each in (model.graph.inputs[0], *model.graph.initializers.values()):
        each.type = ir.TensorType(HALVES[dtype])
    fill_types(model.graph)
    assert value.dtype is HALVES[dtype]
    assert model.graph.outputs[0].dtype is FLOAT, "what is known is left alone"
