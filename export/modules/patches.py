"""Pictures as tokens and back, for any height and width: positions are computed in the graph.

diffusers computes a grid of positions while it traces, so that a graph would have one size.
"""

from __future__ import annotations

import torch
from diffusers.models.embeddings import PatchEmbed
from torch import Tensor, nn

BASE = 10000.0
"""Ratio of the longest wave to the shortest."""


class Patches(nn.Module):
    """A patch embedding with its positions: none, cropped from a table, or a grid of waves.

    Args:
        embed: diffusers' module, whose layers and table are used.
    """

    def __init__(self, embed: PatchEmbed) -> None:
        super().__init__()
        self.proj = embed.proj
        self.norm = embed.norm if embed.layer_norm else nn.Identity()
        self.patch_size = int(embed.patch_size)
        self.trained = (int(embed.height), int(embed.width))
        self.positions = _positions(embed)

    def forward(self, latent: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, H W / patch^2, width)."""
        tokens: Tensor = self.norm(self.proj(latent).flatten(2).transpose(1, 2))
        if self.positions is None:
            return tokens
        height, width = (size // self.patch_size for size in latent.shape[-2:])
        grid: Tensor = self.positions(height, width)
        return tokens + grid


class CroppedPositions(nn.Module):
    """The middle of a square table of positions.

    Args:
        table: (1, most^2, width).
        most: tokens along an edge.
    """

    def __init__(self, table: Tensor, most: int) -> None:
        super().__init__()
        self.register_buffer("table", table.reshape(most, most, -1))
        self.most = most

    def forward(self, height: int, width: int) -> Tensor:
        """The positions of a picture of these tokens: (height width, channels)."""
        rows = torch.arange(height) + (self.most - height) // 2
        columns = torch.arange(width) + (self.most - width) // 2
        table: Tensor = self.get_buffer("table")
        return table.index_select(0, rows).index_select(1, columns).flatten(0, 1)

    def within(self, longest: int) -> CroppedPositions:
        """The same positions for pictures of at most so many tokens along an edge.

        A middle of the middle is the same only if what is cut off is even.

        Args:
            longest: tokens along the longest edge of any picture.
        """
        most = min(self.most, longest + (self.most - longest) % 2)
        first = (self.most - most) // 2
        table: Tensor = self.get_buffer("table")
        kept = table[first : first + most, first : first + most]
        return CroppedPositions(kept.flatten(0, 1)[None], most)


class WavePositions(nn.Module):
    """Sines and cosines of both coordinates, stretched to the size that was trained.

    Args:
        table: (1, height width, channels) at the trained size.
        trained: that size, in tokens.
        scale: positions per token; coordinates are divided by it.
    """

    def __init__(self, table: Tensor, trained: tuple[int, int], scale: float) -> None:
        super().__init__()
        self.register_buffer("table", table[0])
        self.trained = trained
        self.scale = scale
        quarter = table.shape[-1] // 4
        waves = BASE ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
        self.register_buffer("waves", waves.float())

    def forward(self, height: int, width: int) -> Tensor:
        """The positions of a picture of these tokens: (height width, channels)."""
        table: Tensor = self.get_buffer("table")
        sizes = (height, width)
        if all(isinstance(size, int) for size in sizes) and sizes == self.trained:
            return table
        rows = self._waves(height)[:, None].expand(-1, width, -1)
        columns = self._waves(width)[None].expand(height, -1, -1)
        return torch.cat((columns, rows), dim=-1).flatten(0, 1)

    def _waves(self, count: int) -> Tensor:
        """Sines, then cosines, of one coordinate: (count, channels / 2)."""
        waves: Tensor = self.get_buffer("waves")
        steps = torch.arange(count, dtype=torch.float32)
        phase = (steps / (count / self.trained[0]) / self.scale)[:, None] * waves
        return torch.cat((phase.sin(), phase.cos()), dim=-1)


def unpatchify(tokens: Tensor, height: int, width: int, patch: int) -> Tensor:
    """Tokens as a picture.

    Args:
        tokens: (B, height width, patch^2 C).
        height: of the picture in tokens.
        width: likewise.
        patch: edge of a token in positions.

    Returns:
        (B, C, height patch, width patch).
    """
    grid = torch.unflatten(torch.unflatten(tokens, 2, (patch, patch, -1)), 1, (height, width))
    return grid.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def _positions(embed: PatchEmbed) -> nn.Module | None:
    if embed.pos_embed is None:
        return None
    if embed.pos_embed_max_size:
        return CroppedPositions(embed.pos_embed, embed.pos_embed_max_size)
    trained = (embed.height, embed.width)
    return WavePositions(embed.pos_embed, trained, embed.interpolation_scale)
