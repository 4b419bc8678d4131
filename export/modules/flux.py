"""FLUX.1's transformer between the ports of a bundle: tokens and positions are made in the graph.

The transformer itself sees squares of 2x2 positions of the latent, flattened, and is told where
each of them lies; outside of the graph a latent is a latent.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

EDGE: Final = 2
"""Edge of a token, in positions of the latent."""

AXES: Final = 3
"""Coordinates of a token: one that is always 0, row, column. A text's are all 0."""

TRAINED: Final = 1000.0
"""Model time of pure noise; the transformer is told times from 0 to 1."""


class PackedDenoiser(nn.Module):
    """A transformer of text and picture that is told T5's states and CLIP's pooled state."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        latent: Tensor,
        time: Tensor,
        hidden_states: Tensor,
        pooled: Tensor,
        guidance: Tensor | None = None,
    ) -> Tensor:
        """(B, C, H, W), (B,), (B, L, width), (B, width), for some (B,) -> (B, C, H, W)."""
        height, width = (size // EDGE for size in latent.shape[-2:])
        result: tuple[Tensor] = self.network(
            pack(latent),
            encoder_hidden_states=hidden_states,
            pooled_projections=pooled,
            timestep=time / TRAINED,
            img_ids=places(height, width),
            txt_ids=torch.zeros((hidden_states.shape[1], AXES), dtype=torch.int64),
            guidance=guidance,
            return_dict=False,
        )
        return unpack(result[0], height, width)


def pack(latent: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H W / 4, 4 C): row by row, of each square its channels one by one."""
    height, width = (size // EDGE for size in latent.shape[-2:])
    squares = torch.unflatten(torch.unflatten(latent, 3, (width, EDGE)), 2, (height, EDGE))
    return squares.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `pack`.

    Args:
        tokens: (B, height width, 4 C).
        height: of the picture in tokens.
        width: likewise.

    Returns:
        (B, C, 2 height, 2 width).
    """
    squares = torch.unflatten(torch.unflatten(tokens, 2, (-1, EDGE, EDGE)), 1, (height, width))
    return squares.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def places(height: int, width: int) -> Tensor:
    """Coordinates of a picture's tokens: int64 (height width, 3)."""
    rows = torch.arange(height)[:, None].expand(-1, width)
    columns = torch.arange(width)[None].expand(height, -1)
    return torch.stack((torch.zeros_like(rows), rows, columns), dim=-1).flatten(0, 1)
