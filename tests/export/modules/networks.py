"""Tiny networks of diffusers with every kind of attention, and inputs for them at any size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DiTTransformer2DModel,
    FluxTransformer2DModel,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
    UNet2DModel,
)
from torch import Tensor, nn

from tests.export.diffusers_tiny import DIT, UNET, VAE, redrawn

LANES = 2
TOKENS = 5
WIDTH = 32
SQUARES = ((8, 8), (12, 12))
RECTANGLES = ((8, 8), (12, 8))

BLOCKS = {"num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 16}
PIXART = BLOCKS | {
    "in_channels": 4,
    "out_channels": 8,
    "cross_attention_dim": 32,
    "caption_channels": WIDTH,
    "sample_size": 8,
    "interpolation_scale": 1,
    "use_additional_conditions": False,
}
SD3 = BLOCKS | {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "caption_projection_dim": 32,
    "joint_attention_dim": WIDTH,
    "pooled_projection_dim": 16,
    "pos_embed_max_size": 12,
    "dual_attention_layers": (0,),
    "qk_norm": "rms_norm",
}
FLUX = BLOCKS | {
    "in_channels": 16,
    "num_layers": 1,
    "num_single_layers": 1,
    "joint_attention_dim": WIDTH,
    "pooled_projection_dim": 16,
    "axes_dims_rope": (4, 6, 6),
}
PIXELS = {
    "sample_size": 8,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": (16, 32),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "attention_head_dim": 8,
}

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Case:
    """A network, inputs of a size (height, width), and sizes that diffusers itself takes."""

    build: Callable[[], nn.Module]
    draw: Callable[[int, int], Inputs]
    sizes: tuple[tuple[int, int], ...] = RECTANGLES

    def network(self) -> nn.Module:
        """The same weights at every call."""
        torch.manual_seed(4)
        return redrawn(self.build())


def latent(height: int, width: int, channels: int = 4) -> Tensor:
    return torch.randn(LANES, channels, height, width)


def text(width: int = WIDTH) -> Tensor:
    return torch.randn(LANES, TOKENS, width)


def times() -> Tensor:
    return torch.tensor([700.0, 20.0])


def masked(tokens: int = TOKENS) -> Tensor:
    """One lane with padding, one without."""
    return (torch.arange(tokens) < torch.tensor([[3], [tokens]])).long()


def unet(height: int, width: int) -> Inputs:
    return {
        "sample": latent(height, width),
        "timestep": times(),
        "encoder_hidden_states": text(),
        "encoder_attention_mask": masked().bool(),
    }


def dit(height: int, width: int) -> Inputs:
    labels = torch.tensor([0, 3])
    return {"hidden_states": latent(height, width), "timestep": times(), "class_labels": labels}


def pixart(height: int, width: int) -> Inputs:
    return {
        "hidden_states": latent(height, width),
        "encoder_hidden_states": text(),
        "timestep": times(),
        "encoder_attention_mask": masked(),
    }


def sd3(height: int, width: int) -> Inputs:
    return {
        "hidden_states": latent(height, width),
        "encoder_hidden_states": text(),
        "pooled_projections": torch.randn(LANES, 16),
        "timestep": times(),
    }


def flux(height: int, width: int) -> Inputs:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    ids = torch.stack((torch.zeros_like(rows), rows, columns), dim=-1).reshape(-1, 3)
    return {
        "hidden_states": torch.randn(LANES, height * width, 16),
        "encoder_hidden_states": text(),
        "pooled_projections": torch.randn(LANES, 16),
        "timestep": torch.tensor([0.7, 0.1]),
        "img_ids": ids.float(),
        "txt_ids": torch.zeros(TOKENS, 3),
        "guidance": torch.tensor([3.5, 1.0]),
    }


def pixels(height: int, width: int) -> Inputs:
    return {"sample": latent(height, width, 3), "timestep": times()}


def picture(height: int, width: int) -> Inputs:
    return {"sample": latent(height, width, 3)}


def of(kind: type, config: Mapping[str, Any]) -> Callable[[], nn.Module]:
    return lambda: kind(**config)


CASES: dict[str, Case] = {
    "unet": Case(of(UNet2DConditionModel, UNET), unet),
    "pixels": Case(of(UNet2DModel, PIXELS), pixels),
    "vae": Case(of(AutoencoderKL, VAE), picture, ((16, 16), (24, 16))),
    "dit": Case(of(DiTTransformer2DModel, DIT), dit, SQUARES),
    "pixart": Case(of(PixArtTransformer2DModel, PIXART), pixart),
    "sd3": Case(of(SD3Transformer2DModel, SD3), sd3),
    "flux": Case(of(FluxTransformer2DModel, FLUX | {"guidance_embeds": True}), flux),
}
