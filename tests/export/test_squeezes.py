"""Squeezes that torch's exporter gets wrong, and those that are right."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx.helper import make_node
from torch import nn

from denoisert.export.graph.squeezes import mend_squeezes
from denoisert.runtime.errors import ExportError
from tests.export.exported import SqueezesTokens, SqueezesTwice, answer, drawn, exported
from tests.export.running import kinds, run_model
from tests.export.small_graphs import graph_of


@pytest.mark.parametrize("module", [SqueezesTokens(), SqueezesTwice()])
def test_an_export_that_does_not_run_runs_afterwards(module: nn.Module) -> None:
    model = exported(module)
    with pytest.raises(ExportError, match="must be 1 instead of"):
        run_model(model, {"x": drawn(2, 4)})
    assert mend_squeezes(model) == 1
    for x in (drawn(2, 4), drawn(3, 8)):
        (found,) = run_model(model, {"x": x}).values()
        np.testing.assert_array_equal(found, answer(module, x))


def squeezed(axes: list[int], result: tuple[int | str, ...], opset: int = 20) -> ir.Model:
    nodes = [make_node("Squeeze", ["x", "axes"], ["s"]), make_node("Relu", ["s"], ["y"])]
    sizes = {"x": ("n", 1, 5, 1)}
    return graph_of(nodes, sizes, {"y": result}, {"axes": np.array(axes)}, opset=opset)


@pytest.mark.parametrize("axes", [[1], [3], [1, 3], [-1], [-3]])
def test_right_squeezes_stay(axes: list[int]) -> None:
    rank = 4 - len(axes)
    model = squeezed(axes, ("n", 5, 1)[:rank] if rank == 3 else ("n", 5))
    assert mend_squeezes(model) == 0
    assert kinds(model) == ["Squeeze", "Relu"]


def test_of_several_axes_the_wrong_ones_go() -> None:
    nodes = [make_node("Squeeze", ["x", "axes"], ["s"]), make_node("Relu", ["s"], ["y"])]
    model = graph_of(nodes, {"x": ("n", 1, 5)}, {"y": ("n", 5)}, {"axes": np.array([1])})
    wrong = ir.tensor(np.array([1, -1]), name="axes")
    model.graph.initializers["axes"].const_value = wrong
    assert mend_squeezes(model) == 1
    x = drawn(2, 1, 5)
    np.testing.assert_array_equal(run_model(model, {"x": x})["y"], np.maximum(x[:, 0], 0))


def test_a_result_that_the_graph_gives_keeps_its_name() -> None:
    nodes = [make_node("Relu", ["x"], ["r"]), make_node("Squeeze", ["r", "axes"], ["y"])]
    model = graph_of(nodes, {"x": ("n", 3, 5)}, {"y": ("n", 3, 5)}, {"axes": np.array([])})
    model.graph.initializers["axes"].const_value = ir.tensor(np.array([1]), name="axes")
    assert mend_squeezes(model) == 1
    x = drawn(2, 3, 5)
    np.testing.assert_array_equal(run_model(model, {"x": x})["y"], np.maximum(x, 0))


def test_graphs_without_squeezes_and_old_ones_stay() -> None:
    model = graph_of([make_node("Relu", ["x"], ["y"])], {"x": ("n", 2)}, {"y": ("n", 2)})
    assert mend_squeezes(model) == 0
    old = squeezed([1], ("n", 5, 1))
    old.graph.opset_imports[""] = 12
    old.graph.initializers["axes"].const_value = ir.tensor(np.array([2]), name="axes")
    assert mend_squeezes(old) == 0
