"""The network of the yardstick: a class-conditional diffusion transformer of 1.2 M parameters.

It predicts the flow velocity eps - x0 of x_t = (1 - t) x0 + t eps from (latent, time, label).
Every shape but the batch is fixed by the configuration, so the exported graph has one dynamic
dimension.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from denoisert.runtime.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class DigitsConfig:
    """Sizes of a `DigitsDiT`.

    Args:
        channels: of the latent.
        size_px: height and width of the latent.
        token_px: height and width of the square that becomes one token.
        width: length of a token's vector, even.
        depth: number of blocks.
        heads: attention heads; they share the width evenly.
        classes: number of classes; label `classes` is the null class.

    Raises:
        InvalidInput: if the sizes do not divide.
    """

    channels: int = 1
    size_px: int = 16
    token_px: int = 4
    width: int = 128
    depth: int = 4
    heads: int = 4
    classes: int = 10

    def __post_init__(self) -> None:
        if min(self.channels, self.size_px, self.token_px, self.width, self.depth) < 1:
            raise InvalidInput(f"{self} has a size below 1; every size must be at least 1.")
        if self.heads < 1 or self.classes < 1:
            raise InvalidInput(f"{self} needs at least one head and one class.")
        if self.size_px % self.token_px:
            raise InvalidInput(f"size_px {self.size_px} is not a multiple of {self.token_px} px.")
        if self.width % self.heads or self.width % 2:
            raise InvalidInput(f"width {self.width} must be even and a multiple of {self.heads}.")

    @property
    def grid(self) -> int:
        """Tokens along one side."""
        return self.size_px // self.token_px

    @property
    def null_label(self) -> int:
        """The label that means no class: the uncond branch of guidance."""
        return self.classes


class TimeEmbedding(nn.Module):
    """Sines and cosines of 1000 t, then two linear maps.

    Args:
        width: length of the embedding.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        frequencies = torch.exp(
            -math.log(10_000.0) * torch.arange(half, dtype=torch.float32) / half
        )
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.frequencies: Tensor
        self.net = nn.Sequential(nn.Linear(2 * half, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Tensor) -> Tensor:
        """Embed times (B,) in [0, 1] as (B, width)."""
        angle = 1000.0 * time[:, None] * self.frequencies[None, :]
        embedded: Tensor = self.net(torch.cat((angle.cos(), angle.sin()), dim=-1))
        return embedded


class Modulation(nn.Module):
    """Shifts, scales and gates as a linear map of the condition, which starts at zero (adaLN-zero).

    Args:
        width: length of a token's vector.
        vectors: how many to make.
    """

    def __init__(self, width: int, vectors: int) -> None:
        super().__init__()
        self.vectors = vectors
        self.linear = nn.Linear(width, vectors * width)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, condition: Tensor) -> tuple[Tensor, ...]:
        """Map a condition (B, width) to `vectors` tensors (B, 1, width)."""
        mapped: Tensor = self.linear(functional.silu(condition))
        return mapped[:, None, :].chunk(self.vectors, dim=-1)


class Block(nn.Module):
    """Attention and a feed-forward net, each shifted, scaled and gated; at first the identity.

    Args:
        width: length of a token's vector.
        heads: attention heads.

    Source:
        Peebles, Xie 2022, arXiv 2212.09748, section 3.2.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.modulation = Modulation(width, 6)
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        """Map tokens (B, L, width) under a condition (B, width) to (B, L, width)."""
        vectors: tuple[Tensor, ...] = self.modulation(condition)
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = vectors
        tokens = tokens + gate * self._attend(self.norm_attention(tokens) * (1 + scale) + shift)
        fed: Tensor = self.mlp(self.norm_mlp(tokens) * (1 + scale_mlp) + shift_mlp)
        return tokens + gate_mlp * fed

    def _attend(self, tokens: Tensor) -> Tensor:
        """Self-attention over tokens (B, L, width)."""
        mixed = torch.unflatten(self.qkv(tokens), -1, (3, self.heads, -1))
        query, key, value = mixed.permute(2, 0, 3, 1, 4).unbind(0)
        attended: Tensor = functional.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return projected


class DigitsDiT(nn.Module):
    """The diffusion transformer: velocity = network(latent, time, label).

    Args:
        config: the sizes.

    Source:
        Peebles, Xie 2022, arXiv 2212.09748, with adaLN-zero and learned positions.
    """

    def __init__(self, config: DigitsConfig | None = None) -> None:
        super().__init__()
        self.config = config or DigitsConfig()
        width, pixels = self.config.width, self.config.token_px
        self.patchify = nn.Conv2d(self.config.channels, width, pixels, stride=pixels)
        self.position = nn.Parameter(0.02 * torch.randn(1, self.config.grid**2, width))
        self.time = TimeEmbedding(width)
        self.label = nn.Embedding(self.config.classes + 1, width)
        blocks = (Block(width, self.config.heads) for _ in range(self.config.depth))
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = Modulation(width, 2)
        self.project = nn.Linear(width, self.config.channels * pixels**2)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DigitsDiT:
        """Build from the `config` entry of a `config.json`.

        Raises:
            InvalidInput: if a key is unknown or a size does not fit.
        """
        unknown = sorted(set(config) - set(DigitsConfig.__dataclass_fields__))
        if unknown:
            known = ", ".join(DigitsConfig.__dataclass_fields__)
            raise InvalidInput(f"digits-dit does not know {unknown}; its keys are {known}.")
        return cls(DigitsConfig(**config))

    def forward(self, latent: Tensor, time: Tensor, label: Tensor) -> Tensor:
        """Predict the velocity eps - x0.

        Args:
            latent: x_t (B, channels, H, W) float32.
            time: t (B,) float32 in [0, 1]; 1 is noise, 0 is data.
            label: (B,) int64 in 0..classes; `classes` is the null class.

        Returns:
            (B, channels, H, W) float32.
        """
        condition = self.time(time) + self.label(label)
        tokens = self.patchify(latent).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            tokens = block(tokens, condition)
        shift, scale = self.modulation(condition)
        return self._unpatchify(self.project(self.norm(tokens) * (1 + scale) + shift))

    def _unpatchify(self, tokens: Tensor) -> Tensor:
        """Lay tokens (B, L, channels * token_px^2) out as a picture (B, channels, H, W)."""
        grid, pixels = self.config.grid, self.config.token_px
        rows = torch.unflatten(tokens, 1, (grid, grid))
        squares = torch.unflatten(rows, -1, (-1, pixels, pixels))
        return squares.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
