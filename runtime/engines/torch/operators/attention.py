"""Attention as torch's scaled dot product; the device chooses its kernel."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from denoisert.runtime.engines.torch.operators.call import Call, Operator, Site, X, Y, Z

PAST = (4, 5, 6)
"""Inputs past_key, past_value and nonpad_kv_seqlen."""


def attention(site: Site) -> Call:
    """softmax(scale q k + mask) v, on (B, heads, L, width) or on (B, L, heads width).

    A mask is boolean (true attends) or added; it is broadcast to (B, heads, L, L of the keys).
    """
    if any(site.has(i) for i in PAST):
        raise site.refusal("has past keys or values")
    scale = site.node.number("scale", 0.0) or None
    causal = site.node.integer("is_causal", 0) == 1
    if site.rank() == 4:
        heads = (0, 0)
    else:
        heads = (site.node.integer("q_num_heads", 0), site.node.integer("kv_num_heads", 0))
        if min(heads) < 1:
            raise site.refusal("has inputs of rank 3 and no number of heads")
    if site.rank() != site.rank(1) or site.rank() != site.rank(2) or site.rank() not in (3, 4):
        raise site.refusal("has inputs of other ranks than 3 or 4")
    options = {"heads": heads, "scale": scale, "causal": causal}
    return Call(_attend, (X, Y, Z, site.optional(3)), options)


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    *,
    heads: tuple[int, int],
    scale: float | None,
    causal: bool,
) -> Tensor:
    """Scaled dot product attention; heads (0, 0) means that they are a dimension already."""
    if heads[0]:
        q, k, v = (_split(x, n) for x, n in ((q, heads[0]), (k, heads[1]), (v, heads[1])))
    if causal and mask is not None:
        mask, causal = _with_causal(mask, q.shape[-2], k.shape[-2]), False
    grouped = q.shape[1] != k.shape[1]
    found = scaled_dot_product_attention(
        q, k, v, mask, 0.0, causal, scale=scale, enable_gqa=grouped
    )
    return found.transpose(1, 2).flatten(2) if heads[0] else found


def _split(x: Tensor, heads: int) -> Tensor:
    """(B, L, heads width) to (B, heads, L, width)."""
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def _with_causal(mask: Tensor, queries: int, keys: int) -> Tensor:
    """The mask without what lies ahead of each query."""
    behind = torch.ones(queries, keys, dtype=torch.bool, device=mask.device).tril()
    if mask.dtype == torch.bool:
        return mask & behind
    return mask.masked_fill(~behind, float("-inf"))


ATTENTION: Mapping[str, Operator] = MappingProxyType(
    {
        "Attention": Operator(
            attention,
            "is_causal kv_num_heads q_num_heads scale",
            {"qk_matmul_output_mode": 0, "softcap": 0.0, "softmax_precision": 1},
        )
    }
)
