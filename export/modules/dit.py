"""A class-conditioned diffusion transformer between the ports of a bundle."""

from __future__ import annotations

from torch import Tensor, nn


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
