"""PixArt's transformer between the ports of a bundle.

Its blocks are walked here: the network's own forward squeezes an axis that is not 1, which ends as
an invalid graph, and takes the numbers of sizes as a mapping.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from denoisert.export.modules.patches import unpatchify

DISCARDED = -10000.0
"""What diffusers adds to the scores of padding."""

SIDES = 2
"""Numbers of the resolution; the aspect ratio stands behind them."""


class TextDenoiser(nn.Module):
    """A transformer that attends to what is no padding among the states of a text encoder."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(
        self,
        latent: Tensor,
        time: Tensor,
        hidden_states: Tensor,
        token_mask: Tensor,
        sizes: Tensor | None = None,
    ) -> Tensor:
        """(B, C, H, W), (B,), (B, L, width), (B, L), (B, 3) -> (B, C or 2 C, H, W)."""
        network = self.network
        patch = network.config.patch_size
        height, width = (size // patch for size in latent.shape[-2:])
        tokens = network.pos_embed(latent)
        modulation, embedded = network.adaln_single(
            time, _numbers(sizes), batch_size=latent.shape[0], hidden_dtype=tokens.dtype
        )
        states = network.caption_projection(hidden_states)
        bias = (1.0 - token_mask.to(tokens.dtype))[:, None] * DISCARDED
        for block in network.transformer_blocks:
            tokens = block(
                tokens,
                encoder_hidden_states=states,
                encoder_attention_mask=bias,
                timestep=modulation,
            )
        table = network.scale_shift_table[None] + embedded[:, None]
        shift, scale = table.chunk(2, dim=1)
        tokens = network.proj_out(network.norm_out(tokens) * (1 + scale) + shift)
        return unpatchify(tokens, height, width, patch)


def _numbers(sizes: Tensor | None) -> dict[str, Tensor | None]:
    """Height, width and their ratio as the network's embedding names them."""
    if sizes is None:
        return {"resolution": None, "aspect_ratio": None}
    resolution, ratio = torch.tensor_split(sizes, (SIDES,), dim=1)
    return {"resolution": resolution, "aspect_ratio": ratio}
