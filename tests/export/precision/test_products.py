"""Which products are worth eight bits: by size, by form, by place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import pytest
from onnx import NodeProto, TensorProto, helper

from denoisert.export.precision.products import products
from tests.export.precision.block import LARGE, block
from tests.export.small_graphs import graph_of

DEPTH, WIDTH = 256, 1024  # as many weights as a product of lanes needs
node = helper.make_node


def model_of(
    product: NodeProto,
    *,
    shape: Sequence[int] = (DEPTH, WIDTH),
    rows: Sequence[int | str] = ("lanes", DEPTH),
    then: Sequence[NodeProto] = (),
) -> ir.Model:
    """One product `p` of input `x` and weight `w`, and another one behind it."""
    end = np.ones((shape[0] if "transB" in str(product) else shape[1], 4), np.float32)
    nodes = [product, *(then or (node("Tanh", ["p"], ["t"]),)), node("MatMul", ["t", "end"], ["y"])]
    weights = {"w": np.ones(shape, np.float32), "end": end}
    return graph_of(nodes, {"x": rows}, {"y": None}, weights, opset=23)


def names(model: ir.Model, keep: Sequence[str] = ()) -> list[str]:
    return [str(found.node.name) for found in products(model, keep)]


def test_a_block_has_its_large_products_in_order() -> None:
    found = names(block())
    assert found == ["modulation", "query", "key", "value", "into", "out"]
    assert len(found) == LARGE


def test_kept_names_are_left_out() -> None:
    assert names(block(), ["key", "into"]) == ["modulation", "query", "value", "out"]


def test_a_node_without_a_name_is_kept_by_its_output() -> None:
    model = model_of(node("MatMul", ["x", "w"], ["p"]))
    assert len(products(model, ())) == 1
    assert products(model, ("p",)) == []


@pytest.mark.parametrize("is_turned", [False, True])
def test_turned_weights_are_told(is_turned: bool) -> None:
    shape = (WIDTH, DEPTH) if is_turned else (DEPTH, WIDTH)
    model = model_of(node("Gemm", ["x", "w"], ["p"], "g", transB=int(is_turned)), shape=shape)
    (found,) = products(model, ())
    assert found.is_turned == is_turned
    assert found.weight.name == "w"


@pytest.mark.parametrize(
    ("rows", "shape", "count"),
    [
        (("lanes", 7, 128), (128, 256), 1),  # tokens, exactly enough weights
        (("lanes", 7, 128), (128, 255), 0),
        (("lanes", 7, 127), (127, 1024), 0),  # too shallow
        (("lanes", DEPTH), (DEPTH, WIDTH), 1),  # lanes, exactly enough
        (("lanes", DEPTH), (DEPTH, WIDTH - 1), 0),
    ],
)
def test_sizes_decide(rows: Sequence[int | str], shape: tuple[int, int], count: int) -> None:
    model = model_of(node("MatMul", ["x", "w"], ["p"], "p"), shape=shape, rows=rows)
    assert len(products(model, ())) == count


@pytest.mark.parametrize("attribute", [{"alpha": 0.5}, {"beta": 2.0}, {"transA": 1}])
def test_a_gemm_that_does_more_is_left_out(attribute: dict[str, float]) -> None:
    rows = (DEPTH, 3) if "transA" in attribute else ("lanes", DEPTH)
    model = model_of(node("Gemm", ["x", "w"], ["p"], "g", **attribute), rows=rows)
    assert products(model, ()) == []


def test_a_gemm_that_says_what_is_usual_is_not() -> None:
    usual = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    assert names(model_of(node("Gemm", ["x", "w"], ["p"], "g", **usual))) == ["g"]


def test_products_of_two_moving_operands_are_left_out() -> None:
    nodes = [
        node("MatMul", ["x", "z"], ["p"]),
        node("Tanh", ["p"], ["t"]),
        node("MatMul", ["t", "z"], ["y"]),
    ]
    sizes = ("lanes", 512, 512)
    assert products(graph_of(nodes, {"x": sizes, "z": sizes}, {"y": None}, opset=23), ()) == []


def test_a_weight_that_callers_may_replace_is_left_out() -> None:
    model = model_of(node("MatMul", ["x", "w"], ["p"], "p"))
    assert names(model) == ["p"]
    model.graph.inputs.append(model.graph.initializers["w"])
    assert names(model) == []


def test_other_dtypes_are_left_out() -> None:
    half = {"w": np.ones((DEPTH, WIDTH), np.float16), "end": np.ones((WIDTH, 4), np.float16)}
    nodes = [
        node("MatMul", ["x", "w"], ["p"]),
        node("Tanh", ["p"], ["t"]),
        node("MatMul", ["t", "end"], ["y"]),
    ]
    kinds = {"x": TensorProto.FLOAT16, "y": TensorProto.FLOAT16}
    model = graph_of(nodes, {"x": ("lanes", DEPTH)}, {"y": None}, half, opset=23, kinds=kinds)
    assert products(model, ()) == []


@pytest.mark.parametrize(
    "between",
    [
        (),
        (node("Reshape", ["p", "shape"], ["q"]),),
        (node("Add", ["p", "p"], ["s"]), node("Gelu", ["s"], ["q"])),
    ],
)
def test_the_last_product_before_an_output_is_left_out(between: Sequence[NodeProto]) -> None:
    last = between[-1].output[0] if between else "p"
    nodes = [node("MatMul", ["x", "w"], ["p"]), *between, node("Identity", [last], ["y"])]
    weights = {"w": np.ones((DEPTH, WIDTH), np.float32), "shape": np.array([-1, 4], np.int64)}
    model = graph_of(nodes, {"x": ("lanes", DEPTH)}, {"y": None}, weights, opset=23)
    assert products(model, ()) == []


def test_a_product_beside_a_last_one_counts_as_last() -> None:
    """y = x W + x V: both reach the output."""
    nodes = [
        node("MatMul", ["x", "w"], ["p"]),
        node("MatMul", ["x", "v"], ["q"]),
        node("Add", ["p", "q"], ["y"]),
    ]
    weights = {name: np.ones((DEPTH, WIDTH), np.float32) for name in "wv"}
    model = graph_of(nodes, {"x": ("lanes", DEPTH)}, {"y": None}, weights, opset=23)
    assert products(model, ()) == []


def test_a_convolution_at_the_end_frees_the_product_before_it() -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["p"], "p"),
        node("Conv", ["p", "kernel"], ["y"]),
    ]
    weights = {
        "w": np.ones((DEPTH, WIDTH), np.float32),
        "kernel": np.ones((1, 3, 1), np.float32),
    }
    model = graph_of(nodes, {"x": ("lanes", 3, DEPTH)}, {"y": None}, weights, opset=23)
    assert names(model) == ["p"]
