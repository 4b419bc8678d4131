"""A UNet between the ports of a bundle."""

from __future__ import annotations

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
