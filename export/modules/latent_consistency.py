"""A UNet that is told the guidance scale beside the time, between the ports of a bundle."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

PERIOD: Final = 10000.0
"""The longest period of the embedding, as of times."""

TIMES: Final = 1000.0
"""What a scale of 1 more counts, as a time."""


class ScaleEmbedding(nn.Module):
    """Sines, then cosines of 1000 (scale - 1) at geometric frequencies from 1 to 1/10000.

    Args:
        width: of the embedding; an odd one ends with 0.

    Source: Meng et al. 2023, arXiv 2210.03142, section 3.1 (w = scale - 1); Kingma et al. 2021,
    arXiv 2107.00630, published code (frequencies).
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        step = torch.tensor(math.log(PERIOD)) / max(1, half - 1)
        self.register_buffer("frequencies", torch.exp(torch.arange(half) * -step))
        self.odd = width % 2

    def forward(self, scale: Tensor) -> Tensor:
        """(B,) -> (B, width)."""
        angles = (TIMES * (scale - 1.0))[:, None] * self.frequencies
        both = torch.cat((angles.sin(), angles.cos()), dim=1)
        return nn.functional.pad(both, (0, 1)) if self.odd else both


class GuidedTextDenoiser(nn.Module):
    """A UNet with cross-attention to the states of a text encoder, and a guidance scale.

    Args:
        network: takes an embedding of the scale beside that of the time.
        width: of that embedding.
    """

    def __init__(self, network: nn.Module, width: int) -> None:
        super().__init__()
        self.network = network
        self.embedding = ScaleEmbedding(width)

    def forward(
        self, latent: Tensor, time: Tensor, hidden_states: Tensor, guidance: Tensor
    ) -> Tensor:
        """(B, C, H, W), (B,), (B, L, width), (B,) -> (B, C, H, W)."""
        result: tuple[Tensor] = self.network(
            latent,
            time,
            encoder_hidden_states=hidden_states,
            timestep_cond=self.embedding(guidance),
            return_dict=False,
        )
        return result[0]
