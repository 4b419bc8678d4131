"""Where values lie: in place, in the arena, in an output's buffer, or with torch's allocator."""

import numpy as np
import pytest

from tests.runtime.engines.torch.graphs import (
    convolution,
    draw,
    engine_of,
    model_of,
    node,
    outputs_of,
    perceptron,
    weight,
)

PORTS = {"x": ["lanes", 4, 6]}, {"y": ["lanes", 4, 6]}


def plan_of(folder, nodes, weights=None, lanes=2, ports=PORTS):
    return engine_of(folder, model_of(nodes, *ports, weights)).plan(lanes)


def test_a_chain_of_pointwise_operators_is_written_over_itself(tmp_path):
    names = "abcdefg"
    chain = [node("Sigmoid", x, y) for x, y in zip("x" + names, names + "y", strict=True)]
    found = plan_of(tmp_path, chain)
    assert len({found.offsets[name] for name in names}) == 1
    assert found.arena_bytes == 256
    assert found.late_bytes == 0


def test_the_last_result_lies_in_the_output(tmp_path):
    found = plan_of(tmp_path, [node("Relu", "x", "a"), node("Neg", "a", "y")])
    assert found.direct == {"y": "y"}
    assert "y" not in found.offsets


def test_a_value_that_is_read_again_is_not_written_over(tmp_path):
    nodes = [node("Relu", "x", "a"), node("Neg", "a", "b"), node("Add", "a b", "y")]
    found = plan_of(tmp_path, nodes)
    assert found.offsets["a"] != found.offsets["b"]


def test_inputs_are_never_written_over(tmp_path):
    engine = engine_of(tmp_path, model_of([node("Relu", "x", "a"), node("Neg", "a", "y")], *PORTS))
    buffers = draw(engine, 2)
    before = buffers["x"].clone()
    engine.bind(2, buffers).run()
    assert (buffers["x"] == before).all()


def test_a_view_keeps_its_memory_alive(tmp_path):
    nodes = [
        node("Relu", "x", "a"),
        node("Transpose", "a", "b", perm=[0, 2, 1]),
        node("Neg", "x", "c"),
        node("Exp", "c", "d"),
        node("Transpose", "b", "e", perm=[0, 2, 1]),
        node("Add", "d e", "y"),
    ]
    found = plan_of(tmp_path, nodes)
    assert found.offsets["a"] != found.offsets["c"]
    assert "b" not in found.offsets


def test_another_view_of_the_same_memory_forbids_writing_over_it(tmp_path):
    square = {"x": ["lanes", 4, 4]}, {"y": ["lanes", 4, 4]}
    nodes = [
        node("Relu", "x", "a"),
        node("Transpose", "a", "b", perm=[0, 2, 1]),
        node("Add", "a b", "c"),
        node("Neg", "c", "y"),
    ]
    engine = engine_of(tmp_path, model_of(nodes, *square))
    found = engine.plan(2)
    assert found.offsets["a"] != found.offsets["c"]
    buffers = draw(engine, 2)
    positive = buffers["x"].clamp(min=0)
    answer = outputs_of(engine, 2, buffers)["y"]
    assert (answer == -(positive + positive.mT)).all()


def test_a_smaller_input_is_not_written_over_by_what_it_is_broadcast_to(tmp_path):
    nodes = [
        node("Slice", "x zero one axis", "a"),
        node("Relu", "a", "b"),
        node("Add", "x b", "c"),
        node("Neg", "c", "y"),
    ]
    constants = {"zero": np.array([0]), "one": np.array([1]), "axis": np.array([1])}
    found = plan_of(tmp_path, nodes, constants)
    assert found.offsets["b"] != found.offsets["c"]


def test_a_result_of_another_type_is_not_written_over_its_input(tmp_path):
    nodes = [
        node("Relu", "x", "a"),
        node("Greater", "a half", "b"),
        node("Where", "b one x", "y"),
    ]
    constants = {"half": np.float32(0.5), "one": np.float32(1.0)}
    found = plan_of(tmp_path, nodes, constants)
    assert found.offsets["a"] != found.offsets["b"]


def test_convolutions_are_late_and_dropped_after_their_last_view(tmp_path):
    found = engine_of(tmp_path, convolution()).plan(2)
    assert found.late == {"b", "c", "e", "f"}
    steps = [step.outputs[0] for step in found.program.steps]
    released = {name: steps[i] for i, names in enumerate(found.releases) for name in names}
    assert released == {"b": "d", "c": "d", "e": "y", "f": "y"}
    assert found.late_bytes == 2 * 2 * 3 * 20 * 4


@pytest.mark.parametrize("lanes", [1, 3, 16])
def test_the_arena_grows_with_the_lanes_and_holds_less_than_the_sum(lanes, tmp_path):
    engine = engine_of(tmp_path, perceptron())
    found = engine.plan(lanes)
    assert engine.workspace_bytes(lanes) == found.arena_bytes
    assert found.late_bytes == 0
    assert found.planned_bytes == lanes * 5 * (2 * 16 + 3) * 4  # a product, its swish, the output
    assert found.arena_bytes == -(-lanes * 5 * 16 * 4 // 256) * 256  # the swish is in place


def test_what_nobody_reads_is_not_computed(tmp_path):
    nodes = [node("Exp", "x", "unread"), node("Neg", "x", "y")]
    assert [step.outputs for step in plan_of(tmp_path, nodes).program.steps] == [("y",)]


def test_an_output_that_is_shown_twice_is_written_once(tmp_path):
    ports = {"x": ["lanes", 4]}, {"y": ["lanes", 4], "z": ["lanes", 4]}
    nodes = [node("MatMul", "x w", "y"), node("Identity", "y", "z")]
    engine = engine_of(tmp_path, model_of(nodes, *ports, {"w": weight(4, 4)}))
    assert engine.plan(2).direct == {"y": "y"}
    answer = outputs_of(engine, 2, draw(engine, 2))
    assert (answer["y"] == answer["z"]).all()
