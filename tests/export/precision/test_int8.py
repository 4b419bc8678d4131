"""Weights as int8: the formula, what is shared and what is dropped, and what stays as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from denoisert.export.bundle import write_weights
from denoisert.export.graph.externalise import externalise
from denoisert.export.precision.int8 import quantise
from denoisert.export.targets.session import open_graph, open_reference
from denoisert.runtime.errors import UnsupportedOperator
from tests.export.precision.block import LARGE, TOLD, WIDTH, apart, block, drawn
from tests.export.running import kinds, run_model
from tests.export.small_graphs import graph_of

DEPTH, BROAD = 128, 256
node = helper.make_node


def array(model: ir.Model, name: str) -> np.ndarray:
    return model.graph.initializers[name].const_value.numpy()


def pair(weight: np.ndarray, *, opset: int = 23) -> ir.Model:
    """Two products by the same weight, each with one behind it."""
    nodes = [
        node("MatMul", ["x", "w"], ["p"], "p"),
        node("Tanh", ["p"], ["t"]),
        node("MatMul", ["z", "w"], ["q"], "q"),
        node("Mul", ["t", "q"], ["m"]),
        node("MatMul", ["m", "end"], ["y"], "end"),
    ]
    weights = {"w": weight, "end": np.ones((weight.shape[1], 3), np.float32)}
    sizes = ("lanes", 4, weight.shape[0])
    return graph_of(nodes, {"x": sizes, "z": sizes}, {"y": None}, weights, opset=opset)


@pytest.fixture(scope="module")
def weight() -> np.ndarray:
    draw = np.random.default_rng(5)
    drawn = draw.standard_normal((DEPTH, BROAD)) * np.exp(draw.standard_normal(BROAD))
    drawn[:, 7] = 0.0
    return drawn.astype(np.float32)


def test_numbers_and_scales_follow_the_formula(weight: np.ndarray) -> None:
    model = pair(weight)
    assert quantise(model) == 2
    numbers, scale = array(model, "w.int8"), array(model, "w.scale")
    peaks = np.abs(weight.astype(np.float64)).max(0)
    expected = np.where(peaks > 0, peaks / 127, 1.0)
    assert numbers.dtype == np.int8
    assert scale == pytest.approx(expected, rel=1e-6)
    assert np.abs(numbers * scale.astype(np.float64) - weight).max(0) == pytest.approx(
        0.0, abs=0.501 * float(scale.max())
    )
    assert (np.abs(numbers * scale - weight) <= 0.501 * scale).all()
    assert np.abs(numbers).max(0)[peaks > 0].min() == 127
    assert numbers.min() == -127
    assert not numbers[:, 7].any()


def test_a_weight_that_two_products_read_is_quantised_once(weight: np.ndarray) -> None:
    model = pair(weight)
    quantise(model)
    assert kinds(model).count("DequantizeLinear") == 1
    assert sorted(model.graph.initializers) == ["end", "w.int8", "w.scale"]


def test_a_weight_that_is_read_as_float32_stays_beside(weight: np.ndarray) -> None:
    model = pair(weight)
    assert quantise(model, keep=["q"]) == 1
    assert array(model, "w") is not None
    products = {each.name: each.inputs[1].name for each in model.graph if each.name in ("p", "q")}
    assert products == {"p": "w.float32", "q": "w"}


def test_a_turned_weight_is_turned_back() -> None:
    model = block()
    before = array(model, "modulation")
    assert before.shape == (3 * WIDTH, TOLD)
    quantise(model)
    numbers, scale = array(model, "modulation.turned.int8"), array(model, "modulation.turned.scale")
    assert numbers.shape == (TOLD, 3 * WIDTH)
    assert numbers.flags.c_contiguous
    assert np.abs(numbers * scale - before.T).max() <= 0.501 * scale.max()
    (gemm,) = [each for each in model.graph if each.op_type == "Gemm"]
    assert "transB" not in gemm.attributes


def test_one_weight_read_both_ways_is_quantised_both_ways() -> None:
    square = np.random.default_rng(1).standard_normal((512, 512)).astype(np.float32)
    nodes = [
        node("Gemm", ["x", "w"], ["p"], "p"),
        node("Gemm", ["p", "w"], ["q"], "q", transB=1),
        node("MatMul", ["q", "end"], ["y"], "end"),
    ]
    weights = {"w": square, "end": np.ones((512, 2), np.float32)}
    model = graph_of(nodes, {"x": ("lanes", 512)}, {"y": None}, weights, opset=23)
    x = {"x": np.random.default_rng(2).standard_normal((3, 512)).astype(np.float32)}
    expected = run_model(model, x)["y"]
    assert quantise(model) == 2
    assert apart(run_model(model, x)["y"], expected) < 2e-2
    numbers = array(model, "w.int8"), array(model, "w.turned.int8")
    assert not np.array_equal(numbers[0], numbers[1].T)  # scales of columns, of rows


def test_a_block_keeps_its_answers(tmp_path: Path) -> None:
    model = block()
    inputs = drawn(3)
    expected = run_model(model, inputs)["y"]
    assert quantise(model) == LARGE
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert {each.domain for each in model.graph} == {""}
    path = tmp_path / "block.onnx"
    ir.save(model, path)
    assert 1e-4 < apart(open_reference(path)(inputs)["y"], expected) < 8e-3
    assert apart(run_model(model, inputs)["y"], expected) < 1.5e-2  # its optimiser rounds x, too


def test_weights_take_a_quarter_and_survive_files(tmp_path: Path) -> None:
    model, inputs = block(), drawn(2)
    before = sum(value.const_value.nbytes for value in model.graph.initializers.values())
    quantise(model)
    expected = run_model(model, inputs)["y"]

    def write(tensors: dict[str, np.ndarray]) -> tuple[str, dict[str, tuple[int, int]]]:
        return write_weights(tmp_path, tensors)

    (location,) = externalise(model, tmp_path, write)
    assert (tmp_path / location).stat().st_size < 0.28 * before
    text = ir.to_proto(model).SerializeToString()
    assert np.array_equal(open_graph(text, tmp_path, "a block")(inputs)["y"], expected)


def test_two_runs_give_the_same_bytes() -> None:
    texts = []
    for _ in range(2):
        model = block()
        quantise(model)
        texts.append(ir.to_proto(model).SerializeToString(deterministic=True))
    assert texts[0] == texts[1]


def test_a_graph_without_large_products_and_a_second_run_change_nothing(
    weight: np.ndarray,
) -> None:
    small = pair(np.ones((DEPTH, 8), np.float32))
    before = ir.to_proto(small)
    assert quantise(small) == 0
    assert ir.to_proto(small) == before
    model = pair(weight)
    quantise(model)
    before = kinds(model)
    assert quantise(model) == 0
    assert kinds(model) == before


def test_an_old_opset_is_refused(weight: np.ndarray) -> None:
    with pytest.raises(UnsupportedOperator, match=r"opset 13; the graph has opset 12\. Export"):
        quantise(pair(weight, opset=12))
    assert quantise(pair(weight, opset=12), keep=["p", "q"]) == 0
