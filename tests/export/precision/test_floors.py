"""Floors are below everything their operators give, and hardly so."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from denoisert.export.precision.floors import FLOORS, floor_of
from tests.export.running import run_model
from tests.export.small_graphs import graph_of

node = helper.make_node


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("Gelu", {}),
        ("Gelu", {"approximate": "tanh"}),
        ("Relu", {}),
        ("Sigmoid", {}),
        ("Softmax", {"axis": -1}),
    ],
)
def test_nothing_is_below_the_floor(operator: str, attributes: dict[str, str]) -> None:
    model = graph_of([node(operator, ["x"], ["y"], **attributes)], {"x": ("n",)}, {"y": ("n",)})
    x = np.concatenate((np.linspace(-100, 100, 200_001), [-3e38, 3e38])).astype(np.float32)
    least = run_model(model, {"x": x})["y"].min()
    floor = floor_of(model.graph.outputs[0])
    assert floor == FLOORS[operator]
    assert floor <= least <= floor + 2e-4


def test_other_values_have_none() -> None:
    model = graph_of([node("Tanh", ["x"], ["y"])], {"x": ("n",)}, {"y": ("n",)})
    assert floor_of(model.graph.outputs[0]) is None
    assert floor_of(model.graph.inputs[0]) is None


def test_an_operator_of_another_domain_has_none() -> None:
    model = graph_of([node("Relu", ["x"], ["y"])], {"x": ("n",)}, {"y": ("n",)})
    assert floor_of(model.graph.outputs[0]) == 0.0
    model.graph[0].domain = "com.example"
    assert floor_of(model.graph.outputs[0]) is None
