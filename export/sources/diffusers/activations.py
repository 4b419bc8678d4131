"""About how much memory one evaluation of a network takes beside its weights, by its configuration.

Two things count: the scores of attention, which ONNX Runtime writes out for all heads at once, and
the feature maps that are alive together. Which of them a network has the keys of its configuration
tell, whatever its class. An upper bound within a factor of about two (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, Final

from denoisert.export.graph.signature import FEW, LARGE_STATE, MORE
from denoisert.export.sources.diffusers.component import Component
from denoisert.runtime.bundle.card import Card

FLOAT_BYTES: Final = 4
SCORES: Final = 3
"""Scores, what softmax makes of them, and what the arena keeps of the trial with one lane."""

MAPS: Final = 4
"""Feature maps of a layer: its input, output, and two between."""

MOST_PACKED: Final = 4
"""Positions of a latent that become one token before the network sees it."""

EXPANSION: Final = 4
"""Width of the layers between those of a transformer."""


def activation_bytes(component: Component, card: Card) -> int:
    """An upper bound of what one evaluation takes.

    Args:
        component: a network.
        card: the sizes of latents and prompts.
    """
    config, lanes = component.config, max(_compared(component, card))
    if "block_out_channels" in config:
        return lanes * FLOAT_BYTES * _convolutions(config, _positions(component, card))
    return lanes * FLOAT_BYTES * _tokens(config, component, card)


def _compared(component: Component, card: Card) -> tuple[int, ...]:
    """Numbers of lanes on which its graph is compared with it."""
    is_large = card.layout.elements > LARGE_STATE or _is_codec(component)
    return FEW if is_large and component.library == "diffusers" else MORE


def _is_codec(component: Component) -> bool:
    return component.class_name.startswith("Autoencoder")


def _positions(component: Component, card: Card) -> int:
    """Of the first and largest feature map: pixels of a tile, or positions of the latent."""
    coder = card.autoencoder
    if _is_codec(component) and coder is not None:
        return prod(coder.tile) * coder.factor**2
    return max(prod(layout.parts[0].shape[1:]) for layout in card.layouts)


def _convolutions(config: Mapping[str, Any], positions: int) -> int:
    """Elements of a network of levels, each half as high and wide as the one before."""
    channels = _numbers(config["block_out_channels"], 1, 1)
    layers = int(config.get("layers_per_block") or 2) + MAPS
    blocks = [str(name) for name in config.get("down_block_types") or ()]
    heads = config.get("num_attention_heads") or config.get("attention_head_dim") or 8
    counts = _numbers(heads, len(channels), 8)
    maps, scores = 0, [0]
    for level, width in enumerate(channels):
        here = max(1, positions >> (2 * level))
        maps += layers * width * here
        is_attended = level < len(blocks) and "Attn" in blocks[level]
        is_last = level == len(channels) - 1
        if is_attended:
            scores.append(SCORES * counts[level] * here**2)
        elif is_last and config.get("mid_block_add_attention", True):
            scores.append(SCORES * here**2)
    return maps + max(scores)


def _tokens(config: Mapping[str, Any], component: Component, card: Card) -> int:
    """Elements of a transformer: over tokens of the latent, of prompts, or of both."""
    prompts = max((text.tokens for text in card.texts), default=0)
    heads = int(_first(config, ("num_attention_heads", "num_heads"), 16))
    width = int(_first(config, ("hidden_size", "d_model"), 0)) or heads * int(
        config.get("attention_head_dim") or 64
    )
    tokens = prompts
    if component.library == "diffusers":
        patch = int(config.get("patch_size") or 1)
        channels = card.layout.parts[0].channels
        packed = int(config.get("in_channels") or channels) // channels if patch == 1 else 1
        tokens += _positions(component, card) // (patch**2 * min(MOST_PACKED, max(1, packed)))
    return tokens * width * (MAPS + 2 * EXPANSION) + SCORES * heads * tokens**2


def _numbers(value: object, count: int, default: int) -> list[int]:
    """One number for each level, whatever form the configuration has."""
    if isinstance(value, list | tuple):
        return [number if isinstance(number, int) else default for number in value]
    return [value if isinstance(value, int) else default] * count


def _first(config: Mapping[str, Any], keys: tuple[str, ...], default: int) -> int:
    found = [config[key] for key in keys if isinstance(config.get(key), int)]
    return found[0] if found else default
