"""The two halves of an autoencoder.

Scale and shift of latents are inside, so that nothing outside of the graphs knows them.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

LOG_VARIANCE: Final = (-30.0, 20.0)
"""Bounds that the autoencoder's own distribution applies."""


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
        self.post_quant_conv: Any = getattr(network, "post_quant_conv", None)
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


class TinyEncoder(nn.Module):
    """The same of an autoencoder whose latent of a picture is a value: its deviation is 0.

    Args:
        network: the autoencoder.
        scale: latents are (value of the autoencoder - shift) * scale.
        shift: see `scale`.
    """

    def __init__(self, network: nn.Module, scale: float, shift: float) -> None:
        super().__init__()
        self.encoder: Any = network.encoder
        self.scale = scale
        self.shift = shift

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, factor H, factor W) -> two of (B, C, H, W)."""
        mean = (self.encoder(picture) - self.shift) * self.scale
        return mean, torch.zeros_like(mean)


def _through(layer: nn.Module | None, hidden: Tensor) -> Tensor:
    result: Tensor = hidden if layer is None else layer(hidden)
    return result
