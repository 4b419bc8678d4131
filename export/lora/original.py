"""Names that a UNet's layers had before diffusers renamed them.

Original checkpoints have them, and kohya keeps them for SDXL.

The original counts all pieces of a side in one list, diffusers by level; so names are derived from
the layers that a network has, whatever its number of levels.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

WHOLE: Final = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
"""Layers outside of the blocks."""

RESNET: Final = {
    "norm1": "in_layers.0",
    "norm2": "out_layers.0",
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
"""Layers of a residual block."""

MIDDLE: Final = {("resnets", 0): 0, ("attentions", 0): 1, ("resnets", 1): 2}

_BLOCK: Final = re.compile(
    r"(?:(down|up)_blocks\.(\d+)|mid_block)\.(resnets|attentions|downsamplers|upsamplers)"
    r"\.(\d+)\.(.+)"
)

Counts = Mapping[tuple[str, int, str], int]


def original_names(paths: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield (original name, path) of every layer of a UNet that has one.

    Args:
        paths: of all layers, as diffusers names them.
    """
    counts = _counts(paths)
    for path in paths:
        block = _BLOCK.fullmatch(path)
        if path in WHOLE:
            yield WHOLE[path], path
        elif block:
            yield f"{_place(block, counts)}.{_inner(block)}", path


def _counts(paths: Collection[str]) -> dict[tuple[str, int, str], int]:
    """(side, level, kind) -> pieces of that kind."""
    counts: dict[tuple[str, int, str], int] = {}
    for block in filter(None, map(_BLOCK.fullmatch, paths)):
        if block[1]:
            key = (block[1], int(block[2]), block[3])
            counts[key] = max(counts.get(key, 0), int(block[4]) + 1)
    return counts


def _place(block: re.Match[str], counts: Counts) -> str:
    kind, number = block[3], int(block[4])
    if not block[1]:
        return f"middle_block.{MIDDLE.get((kind, number), number)}"
    level = int(block[2])
    resnets = counts.get((block[1], level, "resnets"), 0)
    if block[1] == "down":
        below = 1 + sum(
            n
            for (side, at, what), n in counts.items()
            if side == "down" and at < level and what != "attentions"
        )
        index = below + (resnets if kind == "downsamplers" else number)
        return f"input_blocks.{index}.{int(kind == 'attentions')}"
    below = sum(
        n
        for (side, at, what), n in counts.items()
        if side == "up" and at < level and what == "resnets"
    )
    if kind == "upsamplers":
        has_attention = ("up", level, "attentions") in counts
        return f"output_blocks.{below + resnets - 1}.{1 + has_attention}"
    return f"output_blocks.{below + number}.{int(kind == 'attentions')}"


def _inner(block: re.Match[str]) -> str:
    if block[3] == "resnets":
        return RESNET.get(block[5], block[5])
    return "op" if block[3] == "downsamplers" else block[5]
