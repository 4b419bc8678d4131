"""Rotary positions from a table: no trigonometry in the graph, none in a type that engines lack."""

from __future__ import annotations

from typing import Final

import torch
from diffusers.models.transformers.transformer_flux import FluxPosEmbed
from torch import Tensor, nn

MOST: Final = 1024
"""Positions along one axis."""


class RotaryPositions(nn.Module):
    """Cosines and sines of integer positions, several axes side by side.

    Angles are position / theta^(2 i / width) for pair i of an axis, in float64 when the table is
    made.

    Args:
        widths: numbers of each axis in a head.
        theta: ratio of the longest wave to the shortest.
        most: positions of each axis.
    """

    def __init__(self, widths: tuple[int, ...], theta: float, most: int = MOST) -> None:
        super().__init__()
        self.axes = len(widths)
        for axis, width in enumerate(widths):
            pairs = torch.arange(0, width, 2, dtype=torch.float64) / width
            angles = torch.arange(most, dtype=torch.float64)[:, None] / theta**pairs
            doubled = angles.repeat_interleave(2, dim=1)
            self.register_buffer(f"cosines_{axis}", doubled.cos().float())
            self.register_buffer(f"sines_{axis}", doubled.sin().float())

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """(L, axes) of whole numbers below `most` -> cosines and sines, (L, head_dim) each."""
        places = [ids[:, axis].long() for axis in range(self.axes)]
        cosines, sines = (
            torch.cat(
                [
                    self.get_buffer(f"{name}_{axis}").index_select(0, place)
                    for axis, place in enumerate(places)
                ],
                dim=-1,
            )
            for name in ("cosines", "sines")
        )
        return cosines, sines


def rotary_of(embed: FluxPosEmbed) -> RotaryPositions:
    """Positions that compute what FLUX's own do."""
    return RotaryPositions(tuple(embed.axes_dim), float(embed.theta))
