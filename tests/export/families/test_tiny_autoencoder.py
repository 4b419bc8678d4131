"""TAESD's class: a latent that is a value, graphs cut into tiles both ways, halves that fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import nn

from denoisert.export import CompileOptions
from denoisert.export.families.autoencoder import (
    autoencoder_graphs,
    factor_of,
    find_affine,
    latent_channels,
)
from denoisert.export.graph.signature import ENCODER
from denoisert.export.graph.trace import trace
from denoisert.export.modules.autoencoder import Decoder, TinyEncoder
from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.source import DiffusersFolder
from denoisert.runtime.codec.decoder import Decoder as Decoding
from denoisert.runtime.codec.encoder import PictureEncoder
from denoisert.runtime.engines.ort import OrtEngine
from denoisert.runtime.errors import ExportError
from tests.export.families.family import picture
from tests.export.families.folders import family_folder
from tests.export.families.parts import tiny_autoencoder

FACTOR, TILE, OVERLAP, SIDE = 4, 8, 2, 14
STARTS = (0, TILE - OVERLAP)
SIZES = ((SIDE * FACTOR, SIDE * FACTOR), (32, 32))
OPTIONS = CompileOptions(sizes=SIZES, tile=(TILE, TILE))


def component(**config: object) -> Component:
    return Component("vae", "diffusers", "AutoencoderTiny", Path("vae"), config)


@pytest.fixture(scope="module")
def network() -> AutoencoderTiny:
    torch.manual_seed(5)
    return tiny_autoencoder().eval()


def test_scale_and_shift_are_inside(network: AutoencoderTiny) -> None:
    pixels, latent = torch.rand(2, 3, 32, 32) * 2 - 1, torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        mean, std = TinyEncoder(network, 0.4, -0.3)(pixels)
        torch.testing.assert_close(mean, (network.encode(pixels).latents + 0.3) * 0.4)
        found = Decoder(network, 0.4, -0.3)(latent)
        torch.testing.assert_close(found, network.decode(latent / 0.4 - 0.3).sample)
    assert std.shape == mean.shape
    assert not std.any()


def test_a_configuration_of_the_published_kind() -> None:
    blocks = {"encoder_block_out_channels": [64] * 4, "decoder_block_out_channels": [64] * 4}
    for vae in (component(**blocks), component()):
        assert factor_of(vae) == 8
        assert latent_channels(vae) == 4
        assert find_affine(vae) == (1.0, 0.0)
    assert factor_of(component(**{key: [64] * 3 for key in blocks})) == 4


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"encoder_block_out_channels": [64] * 3}, "as many levels as its decoder has, 4"),
        ({"decoder_block_out_channels": [64] * 3}, "as many levels as its decoder has, 3"),
        ({"upsampling_scaling_factor": 3}, "a factor of 2 for each"),
        ({"decoder_block_out_channels": []}, "must list 1 to 8 levels"),
        ({"decoder_block_out_channels": 64}, "must list 1 to 8 levels"),
    ],
)
def test_halves_that_do_not_fit_are_refused(config: dict[str, object], words: str) -> None:
    with pytest.raises(ExportError, match=words):
        factor_of(component(**config))


@pytest.fixture(scope="module")
def tiled(once, tmp_path_factory, network):
    """component -> its engine at two sizes, one of which needs four tiles; and the card."""
    card = DiffusersFolder(family_folder(once, "sd1_tiny_vae"), options=OPTIONS).card
    folder, engines = tmp_path_factory.mktemp("tiny"), {}

    def build(_: str) -> nn.Module:
        return network

    for module, signature in autoencoder_graphs(component(), card, build):
        path = folder / f"{signature.component}.onnx"
        ir.save(trace(module, signature), path)
        engines[signature.component] = OrtEngine(path, folder, threads=1)
        assert (signature.zeros == ("std",)) == (signature.component == ENCODER)
    return engines, card


def joined(pieces: list[list[torch.Tensor]], scale: int) -> np.ndarray:
    """(n, C, H, W) of 2 x 2 tiles, blended as diffusers blends those of its KL autoencoder."""
    overlap, kept = OVERLAP * scale, STARTS[1] * scale
    rows = []
    for i, row in enumerate(pieces):
        for j, tile in enumerate(row):
            if i:
                AutoencoderKL.blend_v(None, pieces[i - 1][j], tile, overlap)
            if j:
                AutoencoderKL.blend_h(None, row[j - 1], tile, overlap)
        parts = [tile if i else tile[:, :, :kept] for tile in row]
        rows.append(torch.cat([parts[0][..., :kept], parts[1]], dim=3))
    return torch.cat(rows, dim=2).numpy()


def cut(values: torch.Tensor, scale: int) -> list[list[torch.Tensor]]:
    side = TILE * scale
    starts = [start * scale for start in STARTS]
    return [[values[..., i : i + side, j : j + side] for j in starts] for i in starts]


@pytest.mark.slow
@torch.no_grad()
def test_a_latent_is_decoded_in_tiles(tiled, network) -> None:
    engines, card = tiled
    latents = torch.randn(2, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    pieces = [[network.decode(tile).sample for tile in row] for row in cut(latents, 1)]
    wanted = (joined(pieces, FACTOR).clip(-1, 1) * 0.5 + 0.5) * 255
    found = Decoding(engines["decoder"], card).decode(latents.numpy())
    assert np.abs(found.transpose(0, 3, 1, 2) - wanted).max() <= 1
    assert found.std() > 5


@pytest.mark.slow
@torch.no_grad()
def test_a_picture_is_encoded_in_tiles(tiled, network) -> None:
    engines, card = tiled
    pixels = picture(SIZES[0])
    values = torch.from_numpy(pixels.transpose(2, 0, 1)[None] / np.float32(127.5) - 1)
    pieces = [[network.encode(tile).latents for tile in row] for row in cut(values, FACTOR)]
    found = PictureEncoder(engines["encoder"], card).encode(pixels)
    np.testing.assert_allclose(found.mean, joined(pieces, 1)[0], atol=1e-4)
    np.testing.assert_array_equal(found.draw(3), found.mean)  # its latent is no distribution


@pytest.mark.slow
@torch.no_grad()
def test_a_latent_of_one_tile_is_decoded_whole(tiled, network) -> None:
    engines, card = tiled
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    wanted = (network.decode(latents).sample.clip(-1, 1) * 0.5 + 0.5) * 255
    found = Decoding(engines["decoder"], card).decode(latents.numpy())
    assert np.abs(found.transpose(0, 3, 1, 2) - wanted.numpy()).max() <= 1
