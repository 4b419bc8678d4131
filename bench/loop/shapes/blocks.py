"""The layers that denoisers are made of, each a function from tensor names to a tensor name."""

from __future__ import annotations

import math

import numpy as np

from bench.loop.shapes.graph import Graph

BIAS = 0.02  # random, so that no bias is dead
SPREAD = 0.1  # of a norm's scale around 1
EPSILON = 1e-5
LONGEST_PERIOD = 10_000.0
SINES = 256  # width of the embedding of one number, where it is not the first width of the network


def linear(graph: Graph, x: str, inputs: int, outputs: int, *, bias: float = BIAS) -> str:
    """X W + b; weights have variance 1 / inputs; bias 0 leaves it out."""
    product = graph.call("MatMul", x, graph.weight(inputs, outputs, deviation=inputs**-0.5))
    return graph.call("Add", product, graph.weight(outputs, deviation=bias)) if bias else product


def conv(
    graph: Graph, x: str, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1
) -> str:
    """A convolution with a square kernel that keeps the size, or divides it by the stride."""
    weight = graph.weight(outputs, inputs, kernel, kernel, deviation=(inputs * kernel**2) ** -0.5)
    return graph.call(
        "Conv",
        x,
        weight,
        graph.weight(outputs, deviation=BIAS),
        kernel_shape=[kernel] * 2,
        pads=[kernel // 2] * 4,
        strides=[stride] * 2,
    )


def silu(graph: Graph, x: str) -> str:
    """X sigmoid(x); the operator Swish is younger than the opset."""
    return graph.call("Mul", x, graph.call("Sigmoid", x))


def group_norm(graph: Graph, x: str, channels: int, groups: int) -> str:
    """Group norm with scale and bias."""
    scale = graph.weight(channels, deviation=SPREAD, mean=1.0)
    bias = graph.weight(channels, deviation=SPREAD)
    return graph.call("GroupNormalization", x, scale, bias, num_groups=groups, epsilon=EPSILON)


def layer_norm(graph: Graph, x: str, width: int) -> str:
    """Layer norm with scale and bias."""
    scale = graph.weight(width, deviation=SPREAD, mean=1.0)
    bias = graph.weight(width, deviation=SPREAD)
    return graph.call("LayerNormalization", x, scale, bias, axis=-1, epsilon=EPSILON)


def attention(graph: Graph, q: str, k: str, v: str, heads: int) -> str:
    """Attention of (lanes, tokens, width) tensors."""
    return graph.call("Attention", q, k, v, q_num_heads=heads, kv_num_heads=heads)


def waves(graph: Graph, numbers: str, width: int) -> str:
    """Cosines, then sines, of numbers (lanes,) at width / 2 frequencies: (lanes, width)."""
    half = width // 2
    frequencies = np.exp(-math.log(LONGEST_PERIOD) * np.arange(half) / half)
    column = graph.call("Reshape", numbers, graph.constant([-1, 1], np.int64))
    angles = graph.call("Mul", column, graph.constant(frequencies[None]))
    return graph.call("Concat", graph.call("Cos", angles), graph.call("Sin", angles), axis=1)


def two_layers(graph: Graph, x: str, inputs: int, width: int) -> str:
    """Linear, SiLU, linear."""
    return linear(graph, silu(graph, linear(graph, x, inputs, width)), width, width)


def to_tokens(graph: Graph, x: str, width: int) -> str:
    """(lanes, width, H, W) to (lanes, H W, width)."""
    flat = graph.call("Reshape", x, graph.constant([0, width, -1], np.int64))
    return graph.call("Transpose", flat, perm=[0, 2, 1])


def to_picture(graph: Graph, tokens: str, width: int, size: tuple[int, int]) -> str:
    """(lanes, H W, width) to (lanes, width, H, W)."""
    turned = graph.call("Transpose", tokens, perm=[0, 2, 1])
    return graph.call("Reshape", turned, graph.constant([0, width, *size], np.int64))
