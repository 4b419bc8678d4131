"""A UNet between the ports of a bundle."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TextDenoiser(nn.Module):
    """A UNet with cross-attention to the hidden states of a text encoder."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, latent: Tensor, time: Tensor, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W), (B,), (B, L, width) -> (B, C, H, W)."""
        result: tuple[Tensor] = self.network(
            latent, time, encoder_hidden_states=hidden_states, return_dict=False
        )
        return result[0]


class TextRepainter(nn.Module):
    """`TextDenoiser` whose UNet is shown which part is painted, and what lies around it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.denoiser = TextDenoiser(network)

    def forward(
        self,
        latent: Tensor,
        time: Tensor,
        hidden_states: Tensor,
        *,
        mask: Tensor,
        masked_latent: Tensor,
    ) -> Tensor:
        """(B, C, H, W), (B,), (B, L, width), (B, 1, H, W), (B, C, H, W) -> (B, C, H, W)."""
        seen = side_by_side(latent, mask, masked_latent)
        result: Tensor = self.denoiser(seen, time, hidden_states)
        return result


def side_by_side(latent: Tensor, mask: Tensor, masked_latent: Tensor) -> Tensor:
    """(B, C, H, W), (B, 1, H, W), (B, C, H, W) -> (B, 2 C + 1, H, W), as such UNets take it."""
    return torch.cat((latent, mask, masked_latent), dim=1)
