"""Hoisting: which nodes run once per request, what crosses, and that both halves are the whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper
from onnx.helper import make_node

from denoisert.export.graph.extent import extent, extent_bytes
from denoisert.export.graph.flops import graph_flops, node_flops
from denoisert.export.graph.frontier import Frontier, told_nodes
from denoisert.export.graph.hoist import Hoisted, hoist
from denoisert.export.graph.signature import Signature
from denoisert.runtime.engines.engine import Port
from tests.export.cross_attention import (
    ATTENDS,
    GENERATOR,
    KEYS,
    QUERIES,
    ROWS,
    TOKENS,
    WIDTH,
    Dims,
    attention,
)
from tests.export.running import kinds, run_model
from tests.export.small_graphs import graph_of


def signature(model: ir.Model) -> Signature:
    return Signature("denoiser", _ports(model.graph.inputs), (), lambda *_, **__: {})


def _ports(values: Sequence[ir.Value]) -> tuple[Port, ...]:
    dims = [tuple(size if isinstance(size, int) else "lanes" for size in v.shape) for v in values]
    return tuple(Port(str(v.name), "float32", d) for v, d in zip(values, dims, strict=True))


def hoisted(model: ir.Model, *told: str) -> Hoisted | None:
    return hoist(model, signature(model), told or ("text",))


def drawn(model: ir.Model, lanes: int) -> dict[str, np.ndarray]:
    found = {}
    for value in model.graph.inputs:
        shape = (lanes, *value.shape[1:])
        values = GENERATOR.standard_normal(shape)
        is_float = value.dtype is ir.DataType.FLOAT
        found[str(value.name)] = values.astype(np.float32) if is_float else np.ones(shape, np.int64)
    return found


def names(values: Sequence[ir.Value]) -> list[str]:
    return [str(value.name) for value in values]


def both(halves: Hoisted, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    told = {name: inputs[name] for name in names(halves.conditioner.graph.inputs)}
    fed = {**inputs, **run_model(halves.conditioner, told)}
    return run_model(
        halves.denoiser, {name: fed[name] for name in names(halves.denoiser.graph.inputs)}
    )


def check(model: ir.Model, halves: Hoisted) -> None:
    """Both halves give what the whole gives, bit for bit."""
    for lanes in (1, 3):
        inputs = drawn(model, lanes)
        expected = run_model(model, inputs)["y"]
        np.testing.assert_array_equal(both(halves, inputs)["y"], expected)


def test_keys_and_values_go_and_what_arranges_them_stays() -> None:
    model = attention()
    before = kinds(model)
    halves = hoisted(model)
    assert halves is not None
    assert halves.values == ("key", "value")
    assert kinds(halves.conditioner) == ["MatMul", "Add", "MatMul"]
    assert names(halves.conditioner.graph.inputs) == ["text"]
    assert names(halves.conditioner.graph.outputs) == ["key", "value"]
    assert names(halves.denoiser.graph.inputs) == ["x", "time", "key", "value"]
    assert kinds(halves.denoiser).count("MatMul") == 1
    assert "w_key" not in halves.denoiser.graph.initializers
    assert "w_query" not in halves.conditioner.graph.initializers
    sizes = [[str(size) for size in value.shape] for value in halves.conditioner.graph.outputs]
    assert sizes == [["lanes", "6", "32"]] * 2
    check(model, halves)
    assert kinds(model) == before
    assert names(model.graph.inputs) == ["x", "time", "text"]


def test_share_is_that_of_the_products() -> None:
    halves = hoisted(attention())
    assert halves is not None
    keys = 2 * 2 * TOKENS * 64 * WIDTH
    rest = 2 * ROWS * WIDTH * WIDTH + 4 * ROWS * TOKENS * WIDTH
    assert halves.share == pytest.approx(keys / (keys + rest))


@pytest.mark.parametrize(
    "model",
    [
        attention(rows=2500),
        attention(width=WIDTH, tokens=400),
        attention(lanes=2),
        attention([make_node("Identity", ["text"], ["y"])], width=WIDTH, tokens=ROWS),
    ],
    ids=["a share too small", "too much memory", "a fixed number of lanes", "no products"],
)
def test_what_is_not_worth_it_stays_whole(model: ir.Model) -> None:
    assert hoisted(model) is None


def test_without_conditions_nothing_is_divided() -> None:
    assert hoist(attention(), signature(attention()), ()) is None


def test_a_condition_that_meets_the_time_stays_in_the_loop() -> None:
    nodes = [make_node("Reshape", ["time", "column"], ["when"])]
    nodes += [make_node("Add", ["text", "when"], ["moved"])]
    keys = [helper.make_node("MatMul", ["moved", "w_key"], ["product"]), *KEYS[1:]]
    model = attention([*nodes, *keys, *QUERIES, *ATTENDS])
    halves = hoisted(model)
    assert halves is not None
    assert halves.values == ("value",)
    assert names(halves.denoiser.graph.inputs) == ["x", "time", "text", "value"]
    check(model, halves)


def test_a_table_of_labels_is_no_product() -> None:
    nodes = [
        make_node("Gather", ["table", "label"], ["embedded"]),
        make_node("Reshape", ["embedded", "rows"], ["row"]),
        make_node("Add", ["x", "row"], ["y"]),
    ]
    sizes: dict[str, Dims] = {"x": ("lanes", ROWS, WIDTH), "label": ("lanes",)}
    model = graph_of(
        nodes,
        sizes,
        {"y": ("lanes", ROWS, WIDTH)},
        {"table": np.ones((10, WIDTH), np.float32), "rows": np.array([-1, 1, WIDTH])},
        kinds={"label": TensorProto.INT64},
    )
    assert hoist(model, signature(model), ("label",)) is None


def test_what_grows_stays_in_the_loop_and_asks_another_input_for_lanes() -> None:
    """A mask (lanes, L) is worked out once; spreading it over queries would keep L rows."""
    shape = [
        make_node("Shape", ["text"], ["lanes_of_text"], start=0, end=1),
        make_node("Concat", ["lanes_of_text", "rest"], ["spread"], axis=0),
        make_node("Cast", ["mask"], ["float_mask"], to=TensorProto.FLOAT),
        make_node("Mul", ["float_mask", "factor"], ["scores"]),
        make_node("Unsqueeze", ["scores", "axes"], ["scores_4d"]),
        make_node("Expand", ["scores_4d", "spread"], ["bias_4d"]),
    ]
    attend = helper.make_node(
        "Attention", ["query_heads", "key_heads", "value_heads", "bias_4d"], ["attended"]
    )
    constants = {
        "rest": np.array([1, ROWS, TOKENS]),
        "axes": np.array([1, 2]),
        "factor": np.array(-2.0, np.float32),
    }
    nodes = [*KEYS, *shape, *QUERIES, attend, *ATTENDS[1:]]
    model = attention(nodes, more={"mask": ("lanes", TOKENS)}, constants=constants)
    halves = hoisted(model, "text", "mask")
    assert halves is not None
    assert halves.values == ("key", "value", "scores")
    assert names(halves.denoiser.graph.inputs) == ["x", "time", "key", "value", "scores"]
    assert {"Unsqueeze", "Expand", "Shape"} <= set(kinds(halves.denoiser))
    check(model, halves)


def test_nodes_with_graphs_inside_stay_in_the_loop() -> None:
    branch = helper.make_graph(
        [make_node("Neg", ["text"], ["inner"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, ["lanes", TOKENS, 64])],
    )
    nodes = [make_node("If", ["yes"], ["turned_text"], then_branch=branch, else_branch=branch)]
    model = attention([*nodes, *KEYS, *QUERIES, *ATTENDS], more={"yes": ()})
    assert {node.op_type for node in told_nodes(model.graph, {"text"})} == {
        "MatMul",
        "Add",
        "Reshape",
        "Transpose",
    }
    assert not told_nodes(model.graph, {"yes"})


def test_constants_are_neither_told_nor_varying() -> None:
    nodes = [make_node("Neg", ["w_key"], ["negative"]), *KEYS, *QUERIES, *ATTENDS]
    model = attention(nodes)
    told = told_nodes(model.graph, {"text"})
    assert "Neg" not in {node.op_type for node in told}
    assert len(told) == len(KEYS)


def test_a_frontier_counts_what_it_saves_and_keeps() -> None:
    model = attention()
    frontier = Frontier(model.graph, {"text"}, {"lanes": 1})
    assert frontier.saved_flops == 2 * 2 * TOKENS * 64 * WIDTH
    assert frontier.more_bytes == 4 * (2 * TOKENS * WIDTH - TOKENS * 64)
    assert {node.op_type for node in frontier.nodes} == {"MatMul", "Add"}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 3), (2, 3)),
        (("lanes", "height//2"), (4, 5)),
        (("2*lanes", "((height - 1)//2) + 1"), (8, 5)),
        (("lanes", "depth"), None),
        (("lanes", None), None),
        (("lanes", "max(height, 2)"), None),
        (("lanes//0",), None),
        (("height +",), None),
    ],
)
def test_extents_of_formulas(
    shape: tuple[int | str | None, ...], expected: tuple[int, ...] | None
) -> None:
    value = ir.Value(name="v", shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))
    sizes = {"lanes": 4, "height": 10}
    assert extent(value, sizes) == expected
    assert extent_bytes(value, sizes) == (0 if expected is None else 4 * int(np.prod(expected)))


def test_flops_of_products_convolutions_and_attention() -> None:
    nodes = [
        make_node("Conv", ["x", "kernel"], ["c"], pads=[1, 1, 1, 1]),
        make_node("ConvTranspose", ["c", "back"], ["d"]),
        make_node("Flatten", ["d"], ["flat"]),
        make_node("Gemm", ["flat", "w"], ["g"], transB=1),
        make_node("Relu", ["g"], ["y"]),
    ]
    arrays = {"kernel": (8, 3, 3, 3), "back": (8, 2, 1, 1), "w": (5, 32)}
    given = {name: np.ones(shape, np.float32) for name, shape in arrays.items()}
    model = graph_of(nodes, {"x": ("lanes", 3, 4, 4)}, {"y": ("lanes", 5)}, given)
    counts = [node_flops(node, {"lanes": 2}) for node in model.graph]
    assert counts == [2 * 2 * 8 * 16 * 27, 2 * 2 * 8 * 16 * 2, 0, 2 * 2 * 5 * 32, 0]
    assert graph_flops(model, {"lanes": 2}) == sum(counts)
    assert graph_flops(model, {}) == 0, "sizes that are not known count as nothing"
