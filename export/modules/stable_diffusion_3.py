"""Stable Diffusion 3's transformer between the ports of a bundle; texts are joined in the graph.

The states of the two CLIP encoders stand side by side, filled with zeros up to the width of T5's,
which stand behind them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from denoisert.export.modules.patches import CroppedPositions


class ThreeTextsDenoiser(nn.Module):
    """A transformer that is told two CLIP encoders and T5."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        latent: Tensor,
        time: Tensor,
        hidden_states: Tensor,
        hidden_states_2: Tensor,
        hidden_states_3: Tensor,
        *,
        pooled: Tensor,
        pooled_2: Tensor,
    ) -> Tensor:
        """(B, C, H, W), (B,), three of (B, L, width), two of (B, width) -> (B, C, H, W)."""
        clip = torch.cat((hidden_states, hidden_states_2), dim=-1)
        missing = hidden_states_3.shape[-1] - clip.shape[-1]
        states = torch.cat((pad(clip, (0, missing)), hidden_states_3), dim=1)
        vector = torch.cat((pooled, pooled_2), dim=-1)
        return _predicted(self.network, latent, time, states, vector)


class TwoTextsDenoiser(nn.Module):
    """A transformer whose T5 was left out: zeros stand for its states, as pipelines have it.

    Args:
        network: the transformer.
        width: of T5's states.
        tokens: that T5 would have been given.
    """

    def __init__(self, network: nn.Module, width: int, tokens: int) -> None:
        super().__init__()
        self.network = network
        self.width = width
        self.tokens = tokens

    def forward(
        self,
        latent: Tensor,
        time: Tensor,
        hidden_states: Tensor,
        hidden_states_2: Tensor,
        *,
        pooled: Tensor,
        pooled_2: Tensor,
    ) -> Tensor:
        """(B, C, H, W), (B,), two of (B, L, width), two of (B, width) -> (B, C, H, W)."""
        clip = torch.cat((hidden_states, hidden_states_2), dim=-1)
        states = pad(clip, (0, self.width - clip.shape[-1], 0, self.tokens))
        vector = torch.cat((pooled, pooled_2), dim=-1)
        return _predicted(self.network, latent, time, states, vector)


def keep_positions(network: nn.Module, longest: int) -> nn.Module:
    """Leave out the positions that no compiled size has, which may be a tenth of the weights.

    Args:
        network: the transformer, changed in place.
        longest: tokens along the longest edge of any size.

    Returns:
        The network.
    """
    patches: Any = network.pos_embed
    if isinstance(patches.positions, CroppedPositions):
        patches.positions = patches.positions.within(longest)
    return network


def _predicted(
    network: nn.Module, latent: Tensor, time: Tensor, states: Tensor, vector: Tensor
) -> Tensor:
    result: tuple[Tensor] = network(
        latent,
        encoder_hidden_states=states,
        pooled_projections=vector,
        timestep=time,
        return_dict=False,
    )
    return result[0]
