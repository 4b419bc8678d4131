"""What an evaluation takes beside weights, from configurations of real models."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from denoisert.export.sources.diffusers.activations import activation_bytes
from denoisert.export.sources.diffusers.component import Component
from denoisert.runtime.bundle.picture import Autoencoder, Picture
from denoisert.runtime.layout import Part
from tests.export.networks import card_of

MIB = 2**20
UNET = {
    "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "layers_per_block": 2,
    "attention_head_dim": 8,
}
SDXL = UNET | {
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "attention_head_dim": [5, 10, 20],
}
DIT = {"num_attention_heads": 16, "attention_head_dim": 72, "patch_size": 2, "in_channels": 4}
FLUX = {"num_attention_heads": 24, "attention_head_dim": 128, "patch_size": 1, "in_channels": 64}
VAE = {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2}


def taken(class_name: str, config: dict[str, object], latent: int, channels: int = 4) -> float:
    """MiB of a network at a square latent."""
    card = dataclasses.replace(
        card_of((Part("latent", (channels, latent, latent)),), conditions=()),
        picture=Picture(),
        autoencoder=Autoencoder(8, 3, (min(latent, 64), min(latent, 64))),
    )
    component = Component("part", "diffusers", class_name, Path("part"), config)
    return activation_bytes(component, card) / MIB


@pytest.mark.parametrize(
    ("class_name", "config", "latent", "channels", "scores"),
    [
        ("UNet2DConditionModel", UNET, 64, 4, 8 * 4096**2),
        ("UNet2DConditionModel", SDXL, 128, 4, 10 * 4096**2),
        ("DiTTransformer2DModel", DIT, 32, 4, 16 * 256**2),
        ("FluxTransformer2DModel", FLUX, 128, 16, 24 * 4096**2),
        ("AutoencoderKL", VAE, 64, 4, 4096**2),
    ],
    ids=["sd15", "sdxl", "dit", "flux", "vae"],
)
def test_attention_and_maps_count(
    class_name: str, config: dict[str, object], latent: int, channels: int, scores: int
) -> None:
    """Three times the scores of all lanes, and what is left are the feature maps."""
    lanes = 5 if latent == 32 else 2  # as many as are compared
    whole, attended = taken(class_name, config, latent, channels), 3 * lanes * 4 * scores / MIB
    assert attended < whole < 2.5 * attended + 2900


def test_what_was_measured_lies_below() -> None:
    """Stable Diffusion 1.5's UNet at 512x512: 3.4 GB beside weights and libraries."""
    assert 3.3e9 / MIB < taken("UNet2DConditionModel", UNET, 64) < 4.5e9 / MIB


def test_it_grows_with_the_picture() -> None:
    sizes = [taken("UNet2DConditionModel", UNET, latent) for latent in (64, 128, 256)]
    assert 10 * sizes[0] < sizes[1] < 16 * sizes[0]
    assert 10 * sizes[1] < sizes[2] < 16 * sizes[1]


def test_odd_configurations_are_taken_as_they_are() -> None:
    config = {"block_out_channels": [8, "x"], "down_block_types": None, "attention_head_dim": "y"}
    assert taken("UNet2DConditionModel", config, 16) > 0
