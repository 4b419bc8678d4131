"""What the graph of a text encoder gives: its outputs by name, and the layers that they need.

`hidden_states` is the last state after the final norm. `hidden_<n>` is the state after n layers as
it is, 0 being the embedding, and `normed_<n>` the same through the final norm: what pipelines call
`hidden_states[n]`, and with `clip_skip`. `pooled` and `projection` are one vector a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from denoisert.runtime.errors import InvalidInput

STATES: Final = "hidden_states"
POOLED: Final = "pooled"
PROJECTION: Final = "projection"
_LAYER: Final = re.compile(r"(hidden|normed)_(0|[1-9]\d*)")


class Reading(NamedTuple):
    """States that are read.

    Args:
        layer: after how many layers.
        is_normed: whether they go through the final norm.
    """

    layer: int
    is_normed: bool


def hidden(layer: int) -> str:
    """The output that is the state after some layers."""
    return f"hidden_{layer}"


def normed(layer: int) -> str:
    """The output that is the state after some layers, through the final norm."""
    return f"normed_{layer}"


def reading_of(name: str, layers: int) -> Reading:
    """What an output reads; the vectors read the last state.

    Args:
        name: of the output.
        layers: that the network has.

    Raises:
        InvalidInput: no such output, or no such layer.
    """
    if name in (STATES, POOLED, PROJECTION):
        return Reading(layers, is_normed=True)
    found = _LAYER.fullmatch(name)
    if found is None or int(found[2]) > layers:
        raise InvalidInput(
            f"a text encoder of {layers} layers has no output {name!r}. It has {STATES}, hidden_0 "
            f"to hidden_{layers}, normed_0 to normed_{layers} and, if it is CLIP, {POOLED} and "
            f"perhaps {PROJECTION}."
        )
    return Reading(int(found[2]), found[1] == "normed")


def readings_of(names: Sequence[str], layers: int) -> dict[str, Reading]:
    """What each output reads.

    Raises:
        InvalidInput: none is asked for, or one that there is not.
    """
    if not names:
        raise InvalidInput("a text encoder without outputs; name at least one.")
    return {name: reading_of(name, layers) for name in names}


def split_heads(rows: Tensor, heads: int) -> Tensor:
    """(B, L, heads width) -> (B, heads, L, width)."""
    return torch.unflatten(rows, 2, (heads, -1)).transpose(1, 2)


def merge_heads(heads: Tensor) -> Tensor:
    """(B, heads, L, width) -> (B, L, heads width)."""
    return heads.transpose(1, 2).flatten(2)
