"""Our own attention processors: what diffusers' compute, in a form that every exporter keeps whole.

Each call of `attend` becomes one Attention node of opset 23. A mask comes as (B, 1, queries, keys):
diffusers repeats it for every head and pads it, which cannot be traced, and ONNX Runtime refuses a
mask of one query. Heads that no fused kernel takes are a product, a softmax and a product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from diffusers.models.attention_processor import (
    Attention,
    AttnProcessor2_0,
    JointAttnProcessor2_0,
)
from diffusers.models.transformers.transformer_flux import FluxAttention, FluxAttnProcessor
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

LARGEST_HEAD: Final = 256
"""Width of a head that TensorRT's fused kernels still take; an autoencoder's one head has 512."""

Layers = Any
"""An attention's module in diffusers: its projections, its norms, its number of heads."""

Turn = tuple[Tensor, Tensor]
"""Cosines and sines, (L, head_dim) each, of rotary positions."""


class Processor(Protocol):
    """What diffusers calls with an attention's module and its inputs."""

    def __call__(self, attn: Layers, hidden_states: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Attention of the module."""
        ...


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, *, largest: int
) -> Tensor:
    """softmax(q k / sqrt(head_dim) + mask) v, heads side by side.

    Args:
        query: (B, heads, queries, head_dim).
        key: (B, heads, keys, head_dim).
        value: likewise.
        mask: (B, 1, queries, keys): what is added to scores, or whether they count.
        largest: width of the widest head that is left to a fused kernel.

    Returns:
        (B, queries, heads head_dim).
    """
    if query.shape[-1] > largest:
        result = _explicit(query, key, value, mask)
    else:
        result = scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return result.transpose(1, 2).flatten(2)


def _explicit(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if mask is not None:
        is_choice = mask.dtype is torch.bool
        scores = scores.masked_fill(~mask, -torch.inf) if is_choice else scores + mask
    weights: Tensor = scores.softmax(-1)
    return weights @ value


def mask_of(mask: Tensor, queries: Tensor) -> Tensor:
    """A mask of keys as attention takes it.

    Args:
        mask: (B, keys), (B, 1, keys) or (B, queries, keys).
        queries: (B, heads, queries, head_dim).

    Returns:
        (B, 1, queries, keys).
    """
    rows = mask.unsqueeze(1) if mask.ndim == 2 else mask
    return rows.unsqueeze(1).expand(-1, -1, queries.shape[2], -1)


def split_heads(states: Tensor, heads: int) -> Tensor:
    """(B, L, heads head_dim) -> (B, heads, L, head_dim)."""
    return torch.unflatten(states, -1, (heads, -1)).transpose(1, 2)


def rotate(states: Tensor, turn: Turn) -> Tensor:
    """Turn each pair of neighbours by its position's angle.

    Args:
        states: (B, heads, L, head_dim).
        turn: cosines and sines.
    """
    cosines, sines = turn
    first, second = torch.unflatten(states, -1, (-1, 2)).unbind(-1)
    turned = torch.stack((-second, first), dim=-1).flatten(3)
    return states * cosines + turned * sines


@dataclass(frozen=True, slots=True)
class PlainAttention:
    """Attention of states to themselves or to a context; those of a UNet, DiT, PixArt and VAE.

    Args:
        largest: width of the widest head that is left to a fused kernel.
    """

    largest: int = LARGEST_HEAD

    def __call__(
        self,
        attn: Layers,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """(B, L, C) or (B, C, H, W) -> the same."""
        states = hidden_states
        if attn.spatial_norm is not None:
            states = attn.spatial_norm(states, temb)
        if hidden_states.ndim == 4:
            states = states.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            states = attn.group_norm(states.transpose(1, 2)).transpose(1, 2)
        result = self._through(attn, states, encoder_hidden_states, attention_mask)
        if hidden_states.ndim == 4:
            result = torch.unflatten(result.transpose(1, 2), 2, hidden_states.shape[2:])
        if attn.residual_connection:
            result = result + hidden_states
        return result if attn.rescale_output_factor == 1 else result / attn.rescale_output_factor

    def _through(
        self, attn: Layers, states: Tensor, context: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """(B, L, C) -> (B, L, C), with the projections."""
        if context is not None and attn.norm_cross:
            context = attn.norm_encoder_hidden_states(context)
        query = _normed(split_heads(attn.to_q(states), attn.heads), attn.norm_q)
        source = states if context is None else context
        key = _normed(split_heads(attn.to_k(source), attn.heads), attn.norm_k)
        value = split_heads(attn.to_v(source), attn.heads)
        rows = None if mask is None else mask_of(mask, query)
        return _projected(attn, attend(query, key, value, rows, largest=self.largest))


@dataclass(frozen=True, slots=True)
class JointAttention:
    """Attention over the tokens of a picture and, behind them, of a text; those of SD3.

    Args:
        largest: width of the widest head that is left to a fused kernel.
    """

    largest: int = LARGEST_HEAD

    def __call__(
        self,
        attn: Layers,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """(B, L, C), (B, text, C) -> the same; without a text one value."""
        query, key, value = _projections(attn, hidden_states)
        if encoder_hidden_states is not None:
            added = _added_projections(attn, encoder_hidden_states)
            pairs = zip((query, key, value), added, strict=True)
            query, key, value = (torch.cat(pair, dim=2) for pair in pairs)
        rows = None if attention_mask is None else mask_of(attention_mask, query)
        result = attend(query, key, value, rows, largest=self.largest)
        if encoder_hidden_states is None:
            return _projected(attn, result)
        length = hidden_states.shape[1]
        states, text = result[:, :length], result[:, length:]
        if not attn.context_pre_only:
            text = attn.to_add_out(text)
        return _projected(attn, states), text


@dataclass(frozen=True, slots=True)
class RotaryAttention:
    """Attention over the tokens of a text and, behind them, of a picture, turned; those of FLUX.

    Args:
        largest: width of the widest head that is left to a fused kernel.
    """

    largest: int = LARGEST_HEAD

    def __call__(
        self,
        attn: Layers,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Turn | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """(B, L, C), (B, text, C) -> the same; without a text (B, L, heads head_dim)."""
        query, key, value = _projections(attn, hidden_states)
        if encoder_hidden_states is not None:
            added = _added_projections(attn, encoder_hidden_states)
            pairs = zip(added, (query, key, value), strict=True)
            query, key, value = (torch.cat(pair, dim=2) for pair in pairs)
        if image_rotary_emb is not None:
            query, key = rotate(query, image_rotary_emb), rotate(key, image_rotary_emb)
        rows = None if attention_mask is None else mask_of(attention_mask, query)
        result = attend(query, key, value, rows, largest=self.largest)
        if encoder_hidden_states is None:
            return result
        length = encoder_hidden_states.shape[1]
        text, states = result[:, :length], result[:, length:]
        return _projected(attn, states), attn.to_add_out(text)


OWN: Final[Mapping[type, Processor]] = {
    AttnProcessor2_0: PlainAttention(),
    JointAttnProcessor2_0: JointAttention(),
    FluxAttnProcessor: RotaryAttention(),
}
"""diffusers' processor -> ours, which computes the same."""


def use_own_attention(network: nn.Module, own: Mapping[type, Processor] = OWN) -> int:
    """Give every attention of a network our processor; unknown processors stay.

    Args:
        network: of diffusers.
        own: class of a processor -> its replacement.

    Returns:
        How many were replaced.
    """
    found = (each for each in network.modules() if isinstance(each, Attention | FluxAttention))
    known: list[Layers] = [each for each in found if type(each.processor) in own]
    for module in known:
        module.set_processor(own[type(module.processor)])
    return len(known)


def _projections(attn: Layers, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of a picture's tokens, (B, heads, L, head_dim) each."""
    query, key, value = (
        split_heads(layer(states), attn.heads) for layer in (attn.to_q, attn.to_k, attn.to_v)
    )
    return _normed(query, attn.norm_q), _normed(key, attn.norm_k), value


def _added_projections(attn: Layers, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of a text's tokens."""
    layers = (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
    query, key, value = (split_heads(layer(states), attn.heads) for layer in layers)
    return _normed(query, attn.norm_added_q), _normed(key, attn.norm_added_k), value


def _normed(states: Tensor, norm: nn.Module | None) -> Tensor:
    result: Tensor = states if norm is None else norm(states)
    return result


def _projected(attn: Layers, states: Tensor) -> Tensor:
    """The output layer; dropout behind it does nothing in evaluation."""
    result: Tensor = attn.to_out[0](states)
    return result
