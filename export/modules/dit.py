"""A class-conditioned diffusion transformer between the ports of a bundle."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import silu

from denoisert.export.modules.patches import unpatchify


class ClassDenoiser(nn.Module):
    """A diffusion transformer with a class label; its output may have a variance, too.

    The network's own forward takes every picture for a square.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, latent: Tensor, time: Tensor, label: Tensor) -> Tensor:
        """(B, C, H, W), (B,), (B,) -> (B, C or 2 C, H, W)."""
        network = self.network
        tokens = network.pos_embed(latent)
        for block in network.transformer_blocks:
            tokens = block(tokens, timestep=time, class_labels=label)
        embed = network.transformer_blocks[0].norm1.emb
        condition = embed(time, label, hidden_dtype=tokens.dtype)
        shift, scale = network.proj_out_1(silu(condition)).chunk(2, dim=1)
        tokens = network.norm_out(tokens) * (1 + scale[:, None]) + shift[:, None]
        patch = network.patch_size
        height, width = (size // patch for size in latent.shape[-2:])
        return unpatchify(network.proj_out_2(tokens), height, width, patch)
