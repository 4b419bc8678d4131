"""T5's encoder between the ports of a bundle.

Its layers are walked here: the bias of relative positions is looked up once per call in a table of
a few numbers per head, for all layers and lanes, and attention and norm are one operator each.

Source: Raffel et al. 2020, arXiv 1910.10683; transformers 5.23, models/t5/modeling_t5.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, rms_norm, scaled_dot_product_attention

from denoisert.export.modules.text import (
    POOLED,
    PROJECTION,
    STATES,
    merge_heads,
    readings_of,
    split_heads,
)
from denoisert.runtime.errors import InvalidInput


class T5Text(nn.Module):
    """A T5 encoder.

    Args:
        network: T5EncoderModel.
        tokens: L, the length of an input.
        outputs: names that `text.py` explains; the forward returns them in this order.

    Raises:
        InvalidInput: an output that the network does not have.
    """

    buckets: Tensor

    def __init__(self, network: nn.Module, tokens: int, outputs: Sequence[str] = (STATES,)) -> None:
        super().__init__()
        encoder: Any = network.encoder
        self.encoder = encoder
        self.outputs = tuple(outputs)
        self.readings = readings_of(outputs, len(encoder.block))
        if {POOLED, PROJECTION} & set(outputs):
            raise InvalidInput(f"T5 has states only, not {', '.join(outputs)}.")
        first = encoder.block[0].layer[0].SelfAttention
        buckets = distance_buckets(
            tokens, first.relative_attention_num_buckets, first.relative_attention_max_distance
        )
        self.register_buffer("buckets", buckets, persistent=False)

    def forward(self, token_ids: Tensor, token_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        """(B, L), and 1 where there is no padding (B, L) -> states (B, L, width).

        Without a mask padding is attended to like any token.
        """
        bias = self._bias(token_mask)
        states = [self.encoder.embed_tokens(token_ids)]
        last = max(reading.layer for reading in self.readings.values())
        for block in self.encoder.block[:last]:
            states.append(_run(block, states[-1], bias))
        return tuple(self._output(name, states) for name in self.outputs)

    def _bias(self, mask: Tensor | None) -> Tensor:
        """What is added to scores: (1, heads, L, L), or (B, heads, L, L) with a mask."""
        table = self.encoder.block[0].layer[0].SelfAttention.relative_attention_bias
        bias: Tensor = table(self.buckets).permute(2, 0, 1).unsqueeze(0)
        if mask is None:
            return bias
        lowest = torch.finfo(bias.dtype).min
        return torch.where(mask.to(torch.bool)[:, None, None, :], bias, lowest)

    def _output(self, name: str, states: list[Tensor]) -> Tensor:
        layer, is_normed = self.readings[name]
        return _norm(self.encoder.final_layer_norm, states[layer]) if is_normed else states[layer]


def distance_buckets(tokens: int, buckets: int, longest: int) -> Tensor:
    """Which number of the bias table a pair of positions has.

    With n = buckets / 2 and m = n / 2, a distance d = |j - i| below m has the bucket d, any other
    min(m + (n - m) log(d / m) / log(longest / m), n - 1), rounded down; n more if j > i.

    Args:
        tokens: L.
        buckets: numbers in the table.
        longest: distance from which on all have the last bucket.

    Returns:
        int64 (L, L), by i and j.
    """
    places = torch.arange(tokens)
    offset = places[None, :] - places[:, None]
    half, distance = buckets // 2, offset.abs()
    exact = half // 2
    scale = math.log(longest / exact)
    far = torch.log(distance.clamp(min=1).float() / exact) / scale * (half - exact)
    bucket = torch.where(distance < exact, distance, (exact + far.long()).clamp(max=half - 1))
    return bucket + half * (offset > 0)


def _run(block: Any, states: Tensor, bias: Tensor) -> Tensor:  # noqa: ANN401  the library's own
    """One layer: attention without scale, and a perceptron, perhaps gated."""
    attention = block.layer[0].SelfAttention
    rows = _norm(block.layer[0].layer_norm, states)
    query, key, value = (
        split_heads(part(rows), attention.n_heads)
        for part in (attention.q, attention.k, attention.v)
    )
    attended = scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
    states = states + attention.o(merge_heads(attended))
    return states + _perceptron(
        block.layer[1].DenseReluDense, _norm(block.layer[1].layer_norm, states)
    )


def _norm(norm: Any, states: Tensor) -> Tensor:  # noqa: ANN401  the library's own
    return rms_norm(states, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _perceptron(perceptron: Any, rows: Tensor) -> Tensor:  # noqa: ANN401  the library's own
    if hasattr(perceptron, "wi_0"):
        inner = _activate(perceptron, perceptron.wi_0(rows)) * perceptron.wi_1(rows)
    else:
        inner = _activate(perceptron, perceptron.wi(rows))
    result: Tensor = perceptron.wo(inner)
    return result


def _activate(perceptron: Any, rows: Tensor) -> Tensor:  # noqa: ANN401  the library's own
    """The activation; the library spells gelu with tanh out, here it is one operator."""
    if type(perceptron.act).__name__ == "NewGELUActivation":
        return gelu(rows, approximate="tanh")
    result: Tensor = perceptron.act(rows)
    return result
