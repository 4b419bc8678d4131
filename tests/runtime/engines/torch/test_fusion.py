"""Pairs of nodes that become one, pairs that stay, and that the numbers are the same."""

import onnxruntime
import pytest
import torch

from denoisert.runtime.engines.torch.fusion import fuse
from denoisert.runtime.engines.torch.reader import read_graph
from tests.runtime.engines.torch.graphs import (
    draw,
    engine_of,
    model_of,
    node,
    outputs_of,
    relative,
    weight,
)

PORTS = {"x": ["lanes", 3, 4]}, {"y": ["lanes", 3, 4]}
WEIGHTS = {"w": weight(4, 4), "b": weight(4, seed=1), "wide": weight(3, 4, seed=2)}


def silu(first="x", gate="s"):
    return [node("Sigmoid", "x", "s"), node("Mul", f"{first} {gate}", "y")]


def biased(first="p", second="b"):
    return [node("MatMul", "x w", "p"), node("Add", f"{first} {second}", "y")]


def fused_operators(folder, nodes, ports=PORTS):
    engine_of(folder, model_of(nodes, *ports, WEIGHTS))
    graph = fuse(read_graph(folder / "graph.onnx", folder))
    return [entry.op for entry in graph.nodes]


FUSED = {
    "swish": (silu(), ["Swish"]),
    "swish, the gate first": (silu("s", "x"), ["Swish"]),
    "bias": (biased(), ["MatMul"]),
    "bias first": (biased("b", "p"), ["MatMul"]),
}


@pytest.mark.parametrize("kind", FUSED)
def test_pairs_become_one_with_the_same_numbers(kind, tmp_path):
    nodes, wanted = FUSED[kind]
    assert fused_operators(tmp_path, nodes) == wanted
    engine = engine_of(tmp_path, model_of(nodes, *PORTS, WEIGHTS))
    session = onnxruntime.InferenceSession(
        tmp_path / "graph.onnx", providers=["CPUExecutionProvider"]
    )
    buffers = draw(engine, 2)
    (answer,) = session.run(["y"], {"x": buffers["x"].numpy()})
    found = outputs_of(engine, 2, buffers)["y"]
    assert relative(found, torch.from_numpy(answer)) < 1e-6
    pure = engine.function(2)({"x": buffers["x"]})["y"]
    assert relative(pure, found) < 1e-6


STAYING = {
    "another value": [node("Exp", "x", "e"), node("Sigmoid", "x", "s"), node("Mul", "e s", "y")],
    "a gate that is read twice": [
        node("Sigmoid", "x", "s"),
        node("Mul", "x s", "m"),
        node("Add", "m s", "y"),
    ],
    "a bias for each row": biased(second="wide"),
    "a sum with the input": biased(second="x"),
    "a product that is read twice": [
        node("MatMul", "x w", "p"),
        node("Add", "p b", "a"),
        node("Mul", "a p", "y"),
    ],
    "a matrix that is fed": [
        node("Transpose", "x", "t", perm=[0, 2, 1]),
        node("MatMul", "x t", "p"),
        node("MatMul", "p x", "q"),
        node("Add", "q b", "y"),
    ],
    "a gate that is squared": [node("Sigmoid", "x", "s"), node("Mul", "s s", "y")],
}


@pytest.mark.parametrize("kind", STAYING)
def test_other_pairs_stay(kind, tmp_path):
    nodes = STAYING[kind]
    assert fused_operators(tmp_path, nodes) == [entry.op_type for entry in nodes]


def test_a_product_that_is_an_output_stays(tmp_path):
    ports = PORTS[0], {"y": ["lanes", 3, 4], "p": ["lanes", 3, 4]}
    assert fused_operators(tmp_path, biased(), ports) == ["MatMul", "Add"]


def test_a_vector_times_a_matrix_has_a_bias_too(tmp_path):
    model = model_of(biased(), {"x": [4]}, {"y": [4]}, WEIGHTS)
    engine = engine_of(tmp_path, model)
    buffers = draw(engine, 4) | {"x": torch.randn(4)}
    wanted = buffers["x"] @ torch.from_numpy(WEIGHTS["w"]) + torch.from_numpy(WEIGHTS["b"])
    assert relative(outputs_of(engine, 4, buffers)["y"], wanted) < 1e-6
