"""Left operands as uint8: each form against its formula, row by row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from denoisert.export.precision.operands import Operand, quantised
from tests.export.running import kinds, run_model
from tests.export.small_graphs import graph_of

DEPTH = 64
FLOOR = -0.1701
node = helper.make_node


def written(op: str, rows: Sequence[int | str]) -> tuple[ir.Model, Operand]:
    """The operand of a product behind `op`; its numbers and scales are outputs, too."""
    nodes = [node(op, ["x"], ["o"]), node("MatMul", ["o", "w"], ["y"])]
    weights = {"w": np.ones((DEPTH, 2), np.float32)}
    model = graph_of(nodes, {"x": (*rows, DEPTH)}, {"y": None, "o": None}, weights, opset=23)
    operand = quantised(model.graph, model.graph[-1], model.graph[0].outputs[0], DEPTH)
    model.graph.outputs.extend((operand.numbers, operand.scale))
    return model, operand


def run(model: ir.Model, x: np.ndarray) -> list[np.ndarray]:
    """The operand before, its numbers and its scales."""
    return list(run_model(model, {"x": x}).values())[1:]


def drawn(*rows: int) -> np.ndarray:
    draw = np.random.default_rng(9)
    loud = np.exp(3 * draw.standard_normal((*rows, 1)))
    return (draw.standard_normal((*rows, DEPTH)) * loud).astype(np.float32)


def back(numbers: np.ndarray, scale: np.ndarray, operand: Operand) -> np.ndarray:
    return scale.astype(np.float64) * (numbers.astype(np.float64) - operand.zero) + operand.floor


def test_signed_rows() -> None:
    model, operand = written("Neg", ("lanes", 3))
    value, numbers, scale = run(model, drawn(2, 3))
    assert (operand.zero, operand.floor, operand.is_fine) == (128, 0.0, False)
    assert numbers.dtype == np.uint8
    assert scale[..., 0] == pytest.approx(np.abs(value).max(-1) / 127, rel=1e-6)
    assert (np.abs(back(numbers, scale, operand) - value) <= 0.501 * scale).all()
    assert (np.abs(numbers.astype(int) - 128).max(-1) == 127).all()


def test_floored_rows_are_twice_as_fine() -> None:
    model, operand = written("Gelu", ("lanes", 3))
    value, numbers, scale = run(model, 4 + drawn(2, 3))
    assert (operand.zero, operand.floor, operand.is_fine) == (0, FLOOR, False)
    assert scale[..., 0] == pytest.approx((value.max(-1) - FLOOR) / 255, rel=1e-6)
    assert (np.abs(back(numbers, scale, operand) - value) <= 0.501 * scale).all()
    assert (numbers.max(-1) == 255).all()


def test_a_floor_of_zero_moves_nothing() -> None:
    model, operand = written("Relu", ("lanes", 3))
    assert (operand.zero, operand.floor) == (0, 0.0)
    assert "Sub" not in kinds(model)
    value, numbers, scale = run(model, drawn(2, 3))
    assert (np.abs(back(numbers, scale, operand) - value) <= 0.501 * scale).all()


def test_rows_of_lanes_are_254_times_as_fine() -> None:
    model, operand = written("Neg", ("lanes",))
    value, numbers, scale = run(model, drawn(5))
    assert (operand.zero, operand.floor, operand.is_fine) == (128, 0.0, True)
    assert numbers.shape == (5, 2, DEPTH)
    assert scale.shape == (5, 2, 1)
    assert scale[:, 1] == pytest.approx(scale[:, 0] / 254, rel=1e-6)
    known = back(numbers, scale, operand).sum(1)
    assert (np.abs(known - value) <= 0.51 * scale[:, 1]).all()
    assert np.abs(known - value).max() > 0


@pytest.mark.parametrize("op", ["Neg", "Relu"])
def test_a_row_of_zeros_stands_for_zero(op: str) -> None:
    model, operand = written(op, ("lanes", 2))
    x = drawn(1, 2)
    x[0, 1] = 0.0
    _, numbers, scale = run(model, x)
    assert scale[0, 1, 0] == 0.0
    assert not back(numbers, scale, operand)[0, 1].any()


def test_a_row_knows_no_other_row() -> None:
    model, _ = written("Neg", ("lanes", 3))
    x = drawn(4, 3)
    whole = run(model, x)
    loud = x * np.array([1, 1000, 1e-9, 1e9], np.float32)[:, None, None]
    for found in (run(model, x[:1]), run(model, loud)):
        for one, other in zip(found, whole, strict=True):
            assert np.array_equal(one[0], other[0])


def test_nodes_come_before_the_reader_and_behind_the_operand() -> None:
    model, operand = written("Neg", ("lanes", 3))
    order = kinds(model)
    assert order[0] == "Neg"
    assert order[-1] == "MatMul"
    assert order.count("QuantizeLinear") == 2  # 128 for each row, and the numbers
    assert operand.numbers.producer().attributes["block_size"].as_int() == DEPTH
