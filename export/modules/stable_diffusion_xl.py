"""SDXL's UNet between the ports of a bundle."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from denoisert.export.modules.stable_diffusion import side_by_side


class TwoTextsDenoiser(nn.Module):
    """A UNet that attends to the states of two text encoders, side by side."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        latent: Tensor,
        time: Tensor,
        hidden_states: Tensor,
        hidden_states_2: Tensor,
        pooled: Tensor,
        sizes: Tensor,
    ) -> Tensor:
        """(B, C, H, W), (B,), two of (B, L, width), (B, projection), (B, n) -> (B, C, H, W)."""
        states = torch.cat((hidden_states, hidden_states_2), dim=-1)
        return _predicted(
            self.network, latent, time, states, {"text_embeds": pooled, "time_ids": sizes}
        )


class TwoTextsRepainter(nn.Module):
    """`TwoTextsDenoiser` whose UNet is shown which part is painted, and what lies around it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.denoiser = TwoTextsDenoiser(network)

    def forward(
        self,
        latent: Tensor,
        time: Tensor,
        hidden_states: Tensor,
        hidden_states_2: Tensor,
        pooled: Tensor,
        sizes: Tensor,
        *,
        mask: Tensor,
        masked_latent: Tensor,
    ) -> Tensor:
        """Those of the denoiser, (B, 1, H, W), (B, C, H, W) -> (B, C, H, W)."""
        seen = side_by_side(latent, mask, masked_latent)
        states = (hidden_states, hidden_states_2)
        result: Tensor = self.denoiser(seen, time, *states, pooled, sizes)
        return result


class OneTextDenoiser(nn.Module):
    """A UNet that attends to the states of one text encoder, as the refiner does."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, latent: Tensor, time: Tensor, hidden_states: Tensor, pooled: Tensor, sizes: Tensor
    ) -> Tensor:
        """(B, C, H, W), (B,), (B, L, width), (B, projection), (B, n) -> (B, C, H, W)."""
        return _predicted(
            self.network, latent, time, hidden_states, {"text_embeds": pooled, "time_ids": sizes}
        )


class OneTextRepainter(nn.Module):
    """`OneTextDenoiser` whose UNet is shown which part is painted, and what lies around it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.denoiser = OneTextDenoiser(network)

    def forward(
        self,
        latent: Tensor,
        time: Tensor,
        hidden_states: Tensor,
        pooled: Tensor,
        sizes: Tensor,
        *,
        mask: Tensor,
        masked_latent: Tensor,
    ) -> Tensor:
        """Those of the denoiser, (B, 1, H, W), (B, C, H, W) -> (B, C, H, W)."""
        seen = side_by_side(latent, mask, masked_latent)
        result: Tensor = self.denoiser(seen, time, hidden_states, pooled, sizes)
        return result


def _predicted(
    network: nn.Module, latent: Tensor, time: Tensor, states: Tensor, added: dict[str, Tensor]
) -> Tensor:
    result: tuple[Tensor] = network(
        latent,
        time,
        encoder_hidden_states=states,
        added_cond_kwargs=added,
        return_dict=False,
    )
    return result[0]
