"""What a graph computes in, told without running it."""

import onnx
import pytest

from denoisert.runtime.engines.torch.workspace import workspace
from denoisert.runtime.errors import OutOfProfile
from tests.runtime.engines.torch.graphs import model_of, node, weight

FLOAT = 4
TOKENS = {"x": ["lanes", 6, 8]}, {"y": ["lanes", 6, 8]}
HEADS = {"x": ["lanes", 2, "length", 8]}, {"y": ["lanes", 2, "length", 8]}
MAP = {"x": ["lanes", 3, 5, 5]}, {"y": ["lanes", 3, 5, 5]}


def needed(folder, nodes, ports, lanes=2, sizes=None, weights=None, **options):
    path = folder / "graph.onnx"
    onnx.save(model_of(nodes, *ports, weights), path)
    return workspace(path, folder, sizes or {}, lanes, **options)


def convolution(x, y):
    return node("Conv", f"{x} w", y, pads=[1, 1, 1, 1])


def aligned(size):
    """Places in an arena begin at multiples of 256 bytes."""
    return -(-size // 256) * 256


def test_a_chain_in_place_needs_one_value(tmp_path):
    chain = [node("Relu", "x", "a"), node("Neg", "a", "b"), node("Sigmoid", "b", "y")]
    assert needed(tmp_path, chain, TOKENS) == (aligned(2 * 6 * 8 * FLOAT), 0)


def test_late_values_count_while_they_are_alive(tmp_path):
    """Three convolutions one after the other: never more than two results at a time."""
    nodes = [convolution("x", "a"), convolution("a", "b"), convolution("b", "y")]
    each = 2 * 3 * 5 * 5 * FLOAT
    weights = {"w": weight(3, 3, 3, 3)}
    found, scores = needed(tmp_path, nodes, MAP, weights=weights)
    assert 2 * each <= found < 3 * each
    assert scores == 0


def test_scores_are_those_of_the_largest_attention(tmp_path):
    nodes = [
        node("Attention", "x x x", "a", q_num_heads=4, kv_num_heads=4),
        node("Attention", "a a a", "y", q_num_heads=2, kv_num_heads=2),
    ]
    _, scores = needed(tmp_path, nodes, TOKENS, lanes=3)
    assert scores == 3 * 4 * 6 * 6 * FLOAT


@pytest.mark.parametrize("length", [5, 9])
def test_sizes_and_heads_of_the_graph_count(tmp_path, length):
    _, scores = needed(tmp_path, [node("Attention", "x x x", "y")], HEADS, sizes={"length": length})
    assert scores == 2 * 2 * length * length * FLOAT


def test_a_half_type_needs_half(tmp_path):
    chain = [node("Relu", "x", "a"), node("Neg", "a", "y")]
    whole, _ = needed(tmp_path, chain, TOKENS)
    half, _ = needed(tmp_path, chain, TOKENS, dtype="bfloat16")
    assert (whole, half) == (aligned(2 * 6 * 8 * FLOAT), aligned(2 * 6 * 8 * 2))


def test_more_lanes_than_one_call_takes_are_several_calls(tmp_path):
    chain = [node("Relu", "x", "a"), node("Neg", "a", "y")]
    assert needed(tmp_path, chain, TOKENS, lanes=99) == needed(tmp_path, chain, TOKENS, lanes=16)


def test_a_size_that_is_left_open_is_refused(tmp_path):
    with pytest.raises(OutOfProfile, match="length"):
        needed(tmp_path, [node("Attention", "x x x", "y")], HEADS)
