"""A UNet on pixels between the ports of a bundle, with a class label or without."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

TIMES: Final = 250.0
"""Times of consistency models per unit of log sigma."""

TINY: Final = 1e-44
"""What is added to sigma before its logarithm, as in training."""


class PixelDenoiser(nn.Module):
    """A UNet of pictures; its output may have a variance, too."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, latent: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        """(B, C, H, W), (B,), (B,) -> (B, C or 2 C, H, W)."""
        result: tuple[Tensor] = self.network(latent, time, class_labels=label, return_dict=False)
        return result[0]


class ConsistencyDenoiser(nn.Module):
    """A UNet of pictures inside the boundary condition of consistency models.

    Args:
        denoiser: takes the state at unit deviation, and 250 log sigma.
        least: the level at which the answer is the state itself.
        data: standard deviation of the data.
    """

    def __init__(self, denoiser: nn.Module, least: float, data: float) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.least = least
        self.data = data

    def forward(self, latent: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        """(B, C, H, W) at level sigma, sigma (B,), (B,) -> the clean picture (B, C, H, W)."""
        sigma = time[:, None, None, None]
        above, scale = sigma - self.least, torch.sqrt(sigma**2 + self.data**2)
        told = TIMES * torch.log(time.double() + TINY)  # up to 1,100: float32 has 4 decimals there
        answer = self.denoiser(latent / scale, told.float(), label)
        skip = self.data**2 / (above**2 + self.data**2)
        clean: Tensor = skip * latent + above * self.data / scale * answer
        return clean
