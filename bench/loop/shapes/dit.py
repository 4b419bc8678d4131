"""A class-conditional diffusion transformer of any size.

After Peebles and Xie 2022, arXiv 2212.09748: patches, adaptive layer norm from time and label, one
embedding for all blocks. It predicts noise and, in a second half that nobody reads here, variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.loop.shapes.blocks import (
    BIAS,
    EPSILON,
    SINES,
    attention,
    linear,
    silu,
    two_layers,
    waves,
)
from bench.loop.shapes.graph import LANES, Graph
from denoisert.runtime.engines.engine import Port

EXPANSION = 4


@dataclass(frozen=True, slots=True)
class DiT:
    """Sizes of one network.

    Args:
        name: in the names of cases and files.
        latent: (C, H, W).
        width: of a token.
        depth: number of blocks.
        heads: of every block.
        patch: side of the square that becomes a token.
        classes: labels are 0 .. classes - 1, and `classes` is the uncond branch.
    """

    name: str
    latent: tuple[int, int, int]
    width: int
    depth: int
    heads: int
    patch: int = 2
    classes: int = 1000

    @property
    def conditions(self) -> tuple[Port, ...]:
        """What it reads beside latent and time."""
        return (Port("label", "int64", (LANES,)),)

    @property
    def output(self) -> Port:
        """What it writes: noise, then variance."""
        return Port("prediction", "float32", (LANES, 2 * self.latent[0], *self.latent[1:]))

    @property
    def grid(self) -> tuple[int, int]:
        """Tokens in a column and in a row."""
        return self.latent[1] // self.patch, self.latent[2] // self.patch

    def describe(self, graph: Graph) -> str:
        """Add the network to a graph; the result is its prediction."""
        told = _embedding(self, graph)
        tokens = _tokens(self, graph)
        for _ in range(self.depth):
            tokens = _block(self, graph, tokens, told)
        shift, scale = _modulation(self, graph, told, 2)
        tokens = _modulated(self, graph, tokens, shift, scale)
        return _picture(self, graph, tokens)


DIT_XL = DiT("dit-xl", (4, 32, 32), width=1152, depth=28, heads=16)
DIT_S = DiT("dit-s", (4, 32, 32), width=384, depth=12, heads=6)
TINY_DIT = DiT("dit-tiny", (4, 8, 8), width=32, depth=3, heads=2, classes=10)


def _embedding(net: DiT, graph: Graph) -> str:
    """SiLU of time and label together, what every modulation reads."""
    time = two_layers(graph, waves(graph, "time", SINES), SINES, net.width)
    table = graph.weight(net.classes + 1, net.width, deviation=1.0)
    return silu(graph, graph.call("Add", time, graph.call("Gather", table, "label", axis=0)))


def _tokens(net: DiT, graph: Graph) -> str:
    """Patches through one convolution, with their positions: (lanes, tokens, width)."""
    channels, patch = net.latent[0], net.patch
    kernel = graph.weight(net.width, channels, patch, patch, deviation=channels**-0.5 / patch)
    x = graph.call(
        "Conv",
        *("latent", kernel, graph.weight(net.width, deviation=BIAS)),
        kernel_shape=[patch] * 2,
        strides=[patch] * 2,
    )
    flat = graph.call("Reshape", x, graph.constant([0, net.width, -1], np.int64))
    tokens = graph.call("Transpose", flat, perm=[0, 2, 1])
    return graph.call("Add", tokens, graph.weight(1, np.prod(net.grid), net.width, deviation=1.0))


def _modulation(net: DiT, graph: Graph, told: str, parts: int) -> list[str]:
    """Shifts, scales and gates of one block, each (lanes, 1, width)."""
    wide = linear(graph, told, net.width, parts * net.width)
    spread = graph.call("Unsqueeze", wide, graph.constant([1], np.int64))
    return graph.calls("Split", spread, count=parts, axis=-1, num_outputs=parts)


def _modulated(net: DiT, graph: Graph, tokens: str, shift: str, scale: str) -> str:
    """norm(x) (1 + scale) + shift."""
    ones = graph.constant(np.ones(net.width))
    normed = graph.call("LayerNormalization", tokens, ones, axis=-1, epsilon=EPSILON)
    scaled = graph.call("Mul", normed, graph.call("Add", scale, graph.constant(1.0)))
    return graph.call("Add", scaled, shift)


def _block(net: DiT, graph: Graph, tokens: str, told: str) -> str:
    """Self attention and feed-forward, each modulated, gated and added."""
    width = net.width
    shift, scale, gate, shift_2, scale_2, gate_2 = _modulation(net, graph, told, 6)
    wide = linear(graph, _modulated(net, graph, tokens, shift, scale), width, 3 * width)
    q, k, v = graph.calls("Split", wide, count=3, axis=-1, num_outputs=3)
    attended = linear(graph, attention(graph, q, k, v, net.heads), width, width)
    tokens = graph.call("Add", tokens, graph.call("Mul", gate, attended))
    inner = EXPANSION * width
    hidden = linear(graph, _modulated(net, graph, tokens, shift_2, scale_2), width, inner)
    hidden = linear(graph, graph.call("Gelu", hidden, approximate="tanh"), inner, width)
    return graph.call("Add", tokens, graph.call("Mul", gate_2, hidden))


def _picture(net: DiT, graph: Graph, tokens: str) -> str:
    """Every token becomes a square again."""
    (rows, columns), patch, channels = net.grid, net.patch, 2 * net.latent[0]
    values = linear(graph, tokens, net.width, patch**2 * channels)
    split = [0, rows, columns, patch, patch, channels]
    squares = graph.call("Reshape", values, graph.constant(split, np.int64))
    turned = graph.call("Transpose", squares, perm=[0, 5, 1, 3, 2, 4])
    whole = [0, channels, rows * patch, columns * patch]
    return graph.call("Reshape", turned, graph.constant(whole, np.int64))
