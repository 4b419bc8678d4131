"""Integer products with a scale for each token: their value, and that lanes keep to themselves."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from denoisert.export.precision.int8 import quantise
from denoisert.export.precision.token_scales import scale_tokens
from denoisert.runtime.errors import UnsupportedOperator
from tests.export.precision.block import LARGE, apart, block, drawn
from tests.export.running import Arrays, kinds, run_model
from tests.export.small_graphs import graph_of

LANES = 8
DEPTH, WIDTH = 128, 256
node = helper.make_node


def rewritten(model: ir.Model) -> ir.Model:
    quantise(model)
    scale_tokens(model)
    return model


@pytest.fixture(scope="module")
def scaled() -> ir.Model:
    return rewritten(block())


def product(op: str = "Neg", *, bias: bool = False, lanes_only: bool = False) -> ir.Model:
    """One large product behind `op`, and the last one, which only shows its numbers."""
    depth, width = (512, 512) if lanes_only else (DEPTH, WIDTH)
    draw = np.random.default_rng(8)
    weights = {
        "w": draw.standard_normal((depth, width)).astype(np.float32),
        "bias": draw.standard_normal(width).astype(np.float32),
        "end": np.eye(width, dtype=np.float32),
    }
    large = ["o", "w", "bias"] if bias else ["o", "w"]
    nodes = [
        node(op, ["x"], ["o"]),
        node("Gemm" if bias else "MatMul", large, ["p"], "p"),
        node("MatMul", ["p", "end"], ["y"], "end"),
    ]
    used = weights if bias else {"w": weights["w"], "end": weights["end"]}
    rows = ("lanes", depth) if lanes_only else ("lanes", 3, depth)
    return graph_of(nodes, {"x": rows}, {"y": None}, used, opset=23)


def rows(*sizes: int) -> np.ndarray:
    draw = np.random.default_rng(6)
    loud = np.exp(2 * draw.standard_normal((*sizes[:-1], 1)))
    return (draw.standard_normal(sizes) * loud).astype(np.float32)


def weight_of(model: ir.Model) -> np.ndarray:
    """The dequantised weight, float64."""
    numbers, scale = (
        model.graph.initializers[f"w.{name}"].const_value.numpy().astype(np.float64)
        for name in ("int8", "scale")
    )
    return numbers * scale


def rounded(x: np.ndarray, steps: int, floor: float = 0.0) -> np.ndarray:
    """The operand as its row's scale leaves it."""
    x = x.astype(np.float64) - floor
    scale = np.abs(x).max(-1, keepdims=True) / steps
    return np.rint(x / scale) * scale + floor


def assert_near(found: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(found - expected).max() <= 3e-6 * np.abs(expected).max()


def test_signed_rows_follow_the_formula() -> None:
    model, x = rewritten(product()), rows(2, 3, DEPTH)
    expected = rounded(-x, 127) @ weight_of(model)
    assert_near(run_model(model, {"x": x})["y"], expected)


@pytest.mark.parametrize(("op", "floor"), [("Gelu", -0.1701), ("Relu", 0.0)])
def test_floored_rows_follow_the_formula(op: str, floor: float) -> None:
    model, x = product(op), rows(2, 3, DEPTH)
    active = graph_of([node(op, ["x"], ["o"])], {"x": ("n", 3, DEPTH)}, {"o": None})
    operand = run_model(active, {"x": x})["o"]
    rewritten(model)
    expected = rounded(operand, 255, floor) @ weight_of(model)
    assert_near(run_model(model, {"x": x})["y"], expected)


def test_rows_of_lanes_lose_nothing_but_the_weight() -> None:
    model, x = product(bias=True, lanes_only=True), rows(5, 512)
    bias = model.graph.initializers["bias"].const_value.numpy().astype(np.float64)
    rewritten(model)
    expected = -x.astype(np.float64) @ weight_of(model)
    found = run_model(model, {"x": x})["y"] - bias
    assert 1e-7 < apart(found, expected) < 4e-5
    assert apart(rounded(-x, 127) @ weight_of(model), expected) > 4e-3


def test_a_row_of_zeros_gives_the_bias() -> None:
    model = product(bias=True, lanes_only=True)
    bias = model.graph.initializers["bias"].const_value.numpy()
    rewritten(model)
    assert np.array_equal(run_model(model, {"x": np.zeros((2, 512), np.float32)})["y"][1], bias)


def test_a_block_keeps_its_answers(scaled: ir.Model) -> None:
    inputs = drawn(4)
    expected = run_model(block(), inputs)["y"]
    assert 1e-4 < apart(run_model(scaled, inputs)["y"], expected) < 1.5e-2


def test_the_graph_is_standard_and_the_standard_s_own_evaluator_agrees(scaled: ir.Model) -> None:
    text = ir.to_proto(scaled)
    onnx.checker.check_model(text, full_check=True)
    assert {each.domain for each in scaled.graph} == {""}
    model = rewritten(product("Relu"))
    x = rows(2, 3, DEPTH)
    (expected,) = ReferenceEvaluator(ir.to_proto(model)).run(None, {"x": x})
    assert apart(run_model(model, {"x": x})["y"], expected) < 1e-6


def pieces(inputs: Arrays, first: int, last: int) -> Arrays:
    return {name: value[first:last] for name, value in inputs.items()}


@pytest.mark.parametrize("lanes", range(1, LANES))
def test_a_lane_is_bitwise_the_same_in_any_company(scaled: ir.Model, lanes: int) -> None:
    inputs = drawn(LANES)
    whole = run_model(scaled, inputs)["y"]
    for first in range(0, LANES - lanes + 1, lanes):
        found = run_model(scaled, pieces(inputs, first, first + lanes))["y"]
        assert np.array_equal(found, whole[first : first + lanes])


def test_one_scale_for_the_tensor_would_not_keep_lanes_apart() -> None:
    """The trap that the test above is for."""
    model = product()
    quantise(model)
    proto = ir.to_proto(model)
    (place,) = [i for i, each in enumerate(proto.graph.node) if each.name == "p"]
    dynamic = [
        node("DynamicQuantizeLinear", ["o"], ["q", "s", "z"]),
        node("MatMulInteger", ["q", "w.int8", "z"], ["i"]),
        node("Cast", ["i"], ["f"], to=onnx.TensorProto.FLOAT),
        node("Mul", ["f", "s"], ["g"]),
        node("Mul", ["g", "w.scale"], ["p"]),
    ]
    nodes = [*proto.graph.node[:place], *dynamic, *proto.graph.node[place + 1 :]]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    x = rows(4, 3, DEPTH)
    dynamic_model = ir.from_proto(proto)
    alone = [run_model(dynamic_model, {"x": x[lane : lane + 1]})["y"][0] for lane in range(4)]
    assert not np.array_equal(run_model(dynamic_model, {"x": x})["y"], alone)


def test_an_operand_that_three_products_read_is_quantised_once(scaled: ir.Model) -> None:
    found = kinds(scaled)
    assert found.count("MatMulInteger") == LARGE
    assert found.count("Abs") == 3  # modulation, query key and value, into
    assert found.count("Sub") == 2  # what modulation leaves, and GELU's floor
    assert "DequantizeLinear" in found  # of the first row of modulation
    assert found.count("MatMul") == 1


def test_numbers_that_are_not_finite_do_not_vanish(scaled: ir.Model) -> None:
    """A row's residual carries them past its products."""
    for bad in (np.nan, np.inf):
        inputs = drawn(2)
        inputs["x"][0, 1, 2] = bad
        found = run_model(scaled, inputs)["y"]
        assert not np.isfinite(found[0]).all()
        assert np.isfinite(found[1]).all()


def test_a_float_graph_and_a_second_run_change_nothing(scaled: ir.Model) -> None:
    for model in (block(), scaled.clone()):
        before = kinds(model)
        assert scale_tokens(model) == 0
        assert kinds(model) == before


@pytest.mark.parametrize("change", ["zero", "axis", "operand"])
def test_other_dequantised_weights_are_left_alone(change: str) -> None:
    model = product()
    quantise(model)
    (source,) = [each for each in model.graph if each.op_type == "DequantizeLinear"]
    if change == "zero":
        zero = ir.tensor(np.zeros(WIDTH, np.int8), name="zero")
        value = ir.Value(name="zero", const_value=zero, type=ir.TensorType(ir.DataType.INT8))
        model.graph.register_initializer(value)
        source.resize_inputs(3)
        source.replace_input_with(2, value)
    elif change == "axis":
        source.attributes["axis"] = ir.AttrInt64("axis", 0)
    else:
        model.graph.initializers["w.int8"].const_value = None
    assert scale_tokens(model) == 0
    assert "MatMulInteger" not in kinds(model)


def test_an_old_opset_is_refused() -> None:
    model = product()
    quantise(model)
    model.graph.opset_imports[""] = 20
    with pytest.raises(UnsupportedOperator, match=r"needs opset 21; the graph has opset 20\."):
        scale_tokens(model)
    assert scale_tokens(graph_of([], {}, {}, opset=20)) == 0


def test_two_runs_give_the_same_bytes(scaled: ir.Model) -> None:
    texts = [
        ir.to_proto(model).SerializeToString(deterministic=True)
        for model in (rewritten(block()), rewritten(block()))
    ]
    assert texts[0] == texts[1]
