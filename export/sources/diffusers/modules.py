"""Thin modules around a folder's networks: their forwards have the names that a bundle uses.

Scale and shift of latents are inside, so that nothing outside of the graphs knows them.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

LOG_VARIANCE: Final = (-30.0, 20.0)
"""Bounds that the autoencoder's own distribution applies."""


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


class ClassDenoiser(nn.Module):
    """A diffusion transformer with a class label; its output may have a variance, too."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, latent: Tensor, time: Tensor, label: Tensor) -> Tensor:
        """(B, C, H, W), (B,), (B,) -> (B, C or 2 C, H, W)."""
        result: tuple[Tensor] = self.network(
            latent, timestep=time, class_labels=label, return_dict=False
        )
        return result[0]


class TextStates(nn.Module):
    """A text encoder's last hidden state, after its final norm."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, token_ids: Tensor) -> Tensor:
        """(B, L) -> (B, L, width)."""
        states: Tensor = self.network(input_ids=token_ids).last_hidden_state
        return states


class Decoder(nn.Module):
    """Latents as the denoiser knows them -> pictures.

    Args:
        network: the autoencoder.
        scale: latents are (mean of the autoencoder - shift) * scale.
        shift: see `scale`.
    """

    def __init__(self, network: nn.Module, scale: float, shift: float) -> None:
        super().__init__()
        self.decoder: Any = network.decoder
        self.post_quant_conv: Any = network.post_quant_conv  # None in some autoencoders
        self.scale = scale
        self.shift = shift

    def forward(self, latent: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 3, factor H, factor W)."""
        hidden = latent / self.scale + self.shift
        picture: Tensor = self.decoder(_through(self.post_quant_conv, hidden))
        return picture


class Encoder(nn.Module):
    """Pictures -> mean and standard deviation of latents as the denoiser knows them.

    Args:
        network: the autoencoder.
        scale: latents are (mean of the autoencoder - shift) * scale.
        shift: see `scale`.
    """

    def __init__(self, network: nn.Module, scale: float, shift: float) -> None:
        super().__init__()
        self.encoder: Any = network.encoder
        self.quant_conv: Any = network.quant_conv  # None in some autoencoders
        self.scale = scale
        self.shift = shift

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, factor H, factor W) -> two of (B, C, H, W)."""
        moments = _through(self.quant_conv, self.encoder(picture))
        mean, log_variance = moments.chunk(2, dim=1)
        std = torch.exp(0.5 * log_variance.clamp(*LOG_VARIANCE))
        return (mean - self.shift) * self.scale, std * self.scale


def _through(layer: nn.Module | None, hidden: Tensor) -> Tensor:
    result: Tensor = hidden if layer is None else layer(hidden)
    return result
