"""A convolutional denoiser with cross attention, of any size.

After Rombach et al. 2022, arXiv 2112.10752, and Podell et al. 2023, arXiv 2307.01952, as diffusers'
UNet2DConditionModel builds them. The projections around the attention are linear in all sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.loop.shapes.blocks import (
    attention,
    conv,
    group_norm,
    layer_norm,
    linear,
    silu,
    to_picture,
    to_tokens,
    two_layers,
    waves,
)
from bench.loop.shapes.graph import LANES, Graph
from denoisert.runtime.engines.engine import Port

EXPANSION = 4  # of the time embedding and of the feed-forward layers
RESNETS = 2  # a level on the way down, one more on the way up


@dataclass(frozen=True, slots=True)
class UNet:
    """Sizes of one network.

    Args:
        name: in the names of cases and files.
        latent: (C, H, W).
        channels: of every level; each level but the last halves the picture.
        depths: transformer layers behind each resnet of a level; 0 is none.
        middle: transformer layers of the middle.
        heads: of every level.
        context: (tokens, width) of `hidden_states`.
        added: width of `text_time`, which joins the time embedding; 0 is none.
        groups: of the group norms.
    """

    name: str
    latent: tuple[int, int, int]
    channels: tuple[int, ...]
    depths: tuple[int, ...]
    middle: int
    heads: tuple[int, ...]
    context: tuple[int, int]
    added: int = 0
    groups: int = 32

    @property
    def conditions(self) -> tuple[Port, ...]:
        """What it reads beside latent and time."""
        text = Port("hidden_states", "float32", (LANES, *self.context))
        added = Port("text_time", "float32", (LANES, self.added))
        return (text, added) if self.added else (text,)

    @property
    def output(self) -> Port:
        """What it writes."""
        return Port("prediction", "float32", (LANES, *self.latent))

    def describe(self, graph: Graph) -> str:
        """Add the network to a graph; the result is its prediction."""
        return _Builder(self, graph).prediction()


SD15 = UNet(
    name="sd15",
    latent=(4, 64, 64),
    channels=(320, 640, 1280, 1280),
    depths=(1, 1, 1, 0),
    middle=1,
    heads=(8, 8, 8, 8),
    context=(77, 768),
)
SDXL = UNet(
    name="sdxl",
    latent=(4, 128, 128),
    channels=(320, 640, 1280),
    depths=(0, 2, 10),
    middle=10,
    heads=(5, 10, 20),
    context=(77, 2048),
    added=2816,
)
TINY_SD15 = UNet("sd15-tiny", (4, 8, 8), (8, 16), (1, 0), 1, (2, 2), (7, 12), groups=4)
TINY_SDXL = UNet("sdxl-tiny", (4, 8, 8), (8, 16), (0, 2), 1, (1, 2), (7, 12), 20, groups=4)


class _Builder:
    """One network while it is described; the skips are a stack, as in the paper's figure."""

    def __init__(self, net: UNet, graph: Graph) -> None:
        self.net, self.graph = net, graph
        self.skips: list[tuple[str, int]] = []
        self.told = ""  # SiLU of the time embedding, what every resnet reads

    def prediction(self) -> str:
        net, graph = self.net, self.graph
        self.told = self._embedding()
        x = conv(graph, "latent", net.latent[0], net.channels[0])
        self.skips.append((x, net.channels[0]))
        for level in range(len(net.channels)):
            x = self._down(x, level)
        x = self._middle(x)
        for level in reversed(range(len(net.channels))):
            x = self._up(x, level)
        x = silu(graph, group_norm(graph, x, net.channels[0], net.groups))
        return conv(graph, x, net.channels[0], net.latent[0])

    def _embedding(self) -> str:
        net, graph, first = self.net, self.graph, self.net.channels[0]
        told = two_layers(graph, waves(graph, "time", first), first, EXPANSION * first)
        if net.added:
            added = two_layers(graph, "text_time", net.added, EXPANSION * first)
            told = graph.call("Add", told, added)
        return silu(graph, told)

    def _down(self, x: str, level: int) -> str:
        channels, inputs = self.net.channels[level], self.skips[-1][1]
        for _ in range(RESNETS):
            x = self._transformer(self._resnet(x, inputs, channels), level, self.net.depths[level])
            self.skips.append((x, channels))
            inputs = channels
        if level < len(self.net.channels) - 1:
            x = conv(self.graph, x, channels, channels, stride=2)
            self.skips.append((x, channels))
        return x

    def _middle(self, x: str) -> str:
        channels, last = self.net.channels[-1], len(self.net.channels) - 1
        x = self._transformer(self._resnet(x, channels, channels), last, self.net.middle)
        return self._resnet(x, channels, channels)

    def _up(self, x: str, level: int) -> str:
        net = self.net
        channels, inputs = net.channels[level], net.channels[min(level + 1, len(net.channels) - 1)]
        for _ in range(RESNETS + 1):
            skip, width = self.skips.pop()
            x = self.graph.call("Concat", x, skip, axis=1)
            x = self._resnet(x, inputs + width, channels)
            x, inputs = self._transformer(x, level, net.depths[level]), channels
        return self._doubled(x, channels) if level else x

    def _doubled(self, x: str, channels: int) -> str:
        """Twice the height and width, then a convolution."""
        scales = self.graph.constant([1, 1, 2, 2])
        larger = self.graph.call(
            "Resize",
            *(x, "", scales),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        return conv(self.graph, larger, channels, channels)

    def _resnet(self, x: str, inputs: int, outputs: int) -> str:
        graph, groups = self.graph, self.net.groups
        hidden = conv(graph, silu(graph, group_norm(graph, x, inputs, groups)), inputs, outputs)
        told = linear(graph, self.told, EXPANSION * self.net.channels[0], outputs)
        spread = graph.call("Unsqueeze", told, graph.constant([2, 3], np.int64))
        hidden = graph.call("Add", hidden, spread)
        hidden = silu(graph, group_norm(graph, hidden, outputs, groups))
        hidden = conv(graph, hidden, outputs, outputs)
        short = x if inputs == outputs else conv(graph, x, inputs, outputs, kernel=1)
        return graph.call("Add", short, hidden)

    def _transformer(self, x: str, level: int, depth: int) -> str:
        if not depth:
            return x
        graph, width = self.graph, self.net.channels[level]
        size = tuple(side >> level for side in self.net.latent[1:])
        tokens = to_tokens(graph, group_norm(graph, x, width, self.net.groups), width)
        tokens = linear(graph, tokens, width, width)
        for _ in range(depth):
            tokens = self._layer(tokens, width, self.net.heads[level])
        tokens = linear(graph, tokens, width, width)
        return graph.call("Add", x, to_picture(graph, tokens, width, (size[0], size[1])))

    def _layer(self, tokens: str, width: int, heads: int) -> str:
        """Self attention, attention to the text, gated feed-forward; each on a residual."""
        graph = self.graph
        normed = layer_norm(graph, tokens, width)
        tokens = graph.call("Add", tokens, self._attend(normed, (normed, width), width, heads))
        normed, text = layer_norm(graph, tokens, width), ("hidden_states", self.net.context[1])
        tokens = graph.call("Add", tokens, self._attend(normed, text, width, heads))
        normed, inner = layer_norm(graph, tokens, width), EXPANSION * width
        wide = linear(graph, normed, width, 2 * inner)
        value, gate = graph.calls("Split", wide, count=2, axis=-1, num_outputs=2)
        gated = graph.call("Mul", value, graph.call("Gelu", gate))
        return graph.call("Add", tokens, linear(graph, gated, inner, width))

    def _attend(self, tokens: str, source: tuple[str, int], width: int, heads: int) -> str:
        """Attention of tokens to a source (tensor, its width)."""
        q = linear(self.graph, tokens, width, width, bias=0.0)
        k, v = (linear(self.graph, *source, width, bias=0.0) for _ in range(2))
        return linear(self.graph, attention(self.graph, q, k, v, heads), width, width)
