"""Specialisation: shape arithmetic is folded, and what cannot be is refused."""

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from denoisert.runtime.engines.torch.program import fold
from denoisert.runtime.engines.torch.reader import read_graph
from denoisert.runtime.errors import BuildError
from tests.runtime.engines.torch.graphs import (
    draw,
    engine_of,
    model_of,
    node,
    outputs_of,
    weight,
)


def shape_arithmetic():
    """Positions 0..L-1 expanded to the lanes, embedded and added: all sizes come from Shape."""
    return model_of(
        [
            node("Shape", "x", "s", start=0, end=1),
            node("Shape", "x", "all"),
            node("Gather", "all one", "length", axis=0),
            node("Range", "zero length step", "r"),
            node("Unsqueeze", "r axis", "u"),
            node("ConstantOfShape", "two", "ones", value=_one()),
            node("Concat", "s four", "sizes", axis=0),
            node("Mul", "sizes ones", "target"),
            node("Expand", "u target", "p"),
            node("Gather", "table p", "e", axis=0),
            node("Size", "e", "n"),
            node("Cast", "n", "f", to=1),
            node("Add", "x e", "a"),
            node("Div", "a f", "y"),
        ],
        {"x": ["lanes", 4, 3]},
        {"y": ["lanes", 4, 3]},
        {
            "one": np.array(1), "zero": np.array(0), "step": np.array(1), "axis": np.array([0]),
            "four": np.array([4]), "two": np.array([2]),
            "table": weight(6, 3),
        },
    )  # fmt: skip


def _one():
    return numpy_helper.from_array(np.ones(1, np.int64))


def test_all_shape_arithmetic_is_folded(tmp_path):
    engine = engine_of(tmp_path, shape_arithmetic())
    calls = [step.outputs[0] for step in engine.plan(3).program.steps]
    assert calls == ["a", "y"]


@pytest.mark.parametrize("lanes", [1, 2, 3, 16])
def test_folded_sizes_follow_the_lanes(lanes, tmp_path):
    engine = engine_of(tmp_path, shape_arithmetic())
    session = onnxruntime.InferenceSession(
        tmp_path / "graph.onnx", providers=["CPUExecutionProvider"]
    )
    for count in (lanes, 2):  # a second bucket of one engine has constants of its own
        buffers = draw(engine, count, seed=lanes)
        (wanted,) = session.run(["y"], {"x": buffers["x"].numpy()})
        found = outputs_of(engine, count, buffers)["y"].numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_what_depends_on_constants_only_is_folded_once_for_all_lanes(tmp_path):
    nodes = [node("Transpose", "w", "t"), node("MatMul", "x t", "y")]
    ports = {"x": ["lanes", 2]}, {"y": ["lanes", 3]}
    engine = engine_of(tmp_path, model_of(nodes, *ports, {"w": weight(3, 2)}))
    graph = fold(read_graph(tmp_path / "graph.onnx", tmp_path))
    assert [entry.op for entry in graph.nodes] == ["MatMul"]
    one, other = (engine.plan(lanes).program.constants for lanes in (1, 2))
    assert all(constant.is_shared for constant in one.values())
    assert [c.source.data_ptr() for c in one.values()] == [
        c.source.data_ptr() for c in other.values()
    ]


def test_slice_bounds_that_are_fed_are_refused(tmp_path):
    nodes = [node("Slice", "x i_start i_end", "y")]
    ports = {"x": ["lanes", 2], "i_start": [2], "i_end": [2]}, {"y": ["lanes", 2]}
    engine = engine_of(tmp_path, model_of(nodes, *ports))
    with pytest.raises(BuildError, match=r"Slice 'y' takes 'i_start' as input 1"):
        engine.plan(2)


def test_inputs_that_do_not_go_together_are_refused_with_their_shapes(tmp_path):
    nodes = [node("MatMul", "x w", "y")]
    ports = {"x": ["lanes", 2]}, {"y": ["lanes", 2]}
    engine = engine_of(tmp_path, model_of(nodes, *ports, {"w": weight(3, 2)}))
    with pytest.raises(BuildError, match=r"MatMul 'y' cannot take \[.*\(4, 2\).*\(3, 2\)"):
        engine.plan(4)


def test_constants_that_do_not_go_together_are_refused(tmp_path):
    nodes = [node("MatMul", "v w", "c"), node("Add", "x c", "y")]
    ports = {"x": ["lanes", 2]}, {"y": ["lanes", 2]}
    weights = {"w": weight(3, 2), "v": weight(2, 2)}
    with pytest.raises(BuildError, match=r"MatMul 'c' cannot take"):
        engine_of(tmp_path, model_of(nodes, *ports, weights))


def test_an_output_of_another_shape_than_promised_is_refused(tmp_path):
    model = model_of([node("Relu", "x", "y")], {"x": ["lanes", 2]}, {"y": ["lanes", 3]})
    with pytest.raises(BuildError, match=r"promises y of shape \(2, 3\) and computes \(2, 2\)"):
        engine_of(tmp_path, model).plan(2)


def test_a_required_input_that_is_left_out_is_refused(tmp_path):
    model = model_of([node("Gelu", "x", "a"), node("Expand", "a", "y")], *_same())
    with pytest.raises(BuildError, match="Expand 'y' lacks input 1"):
        engine_of(tmp_path, model).plan(2)


def _same():
    return {"x": ["lanes", 2]}, {"y": ["lanes", 2]}


def test_a_constant_output_is_copied(tmp_path):
    nodes = [node("Shape", "x", "s"), node("Expand", "w s", "y")]
    engine = engine_of(tmp_path, model_of(nodes, *_same(), {"w": np.float32(2.5)}))
    assert torch.equal(outputs_of(engine, 3, draw(engine, 3))["y"], torch.full((3, 2), 2.5))


def test_an_input_may_be_an_output(tmp_path):
    engine = engine_of(tmp_path, model_of([node("Identity", "x", "y")], *_same()))
    buffers = draw(engine, 3)
    assert torch.equal(outputs_of(engine, 3, buffers)["y"], buffers["x"])
