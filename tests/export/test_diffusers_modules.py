"""The thin modules: contract's names outside, scale and shift inside, diffusers' own arithmetic."""

from __future__ import annotations

import inspect

import pytest
import torch
from diffusers import AutoencoderKL

from denoisert.export.modules.autoencoder import Decoder, Encoder
from denoisert.export.modules.clip import CLIPText
from denoisert.export.modules.dit import ClassDenoiser
from denoisert.export.modules.stable_diffusion import TextDenoiser
from denoisert.export.modules.t5 import T5Text
from tests.export.diffusers_tiny import VAE, redrawn

SCALE, SHIFT = 0.4, -0.3


def autoencoder(**config: object) -> AutoencoderKL:
    torch.manual_seed(3)
    return redrawn(AutoencoderKL(**VAE | config))


@pytest.mark.parametrize("is_used", [True, False])
def test_the_decoder_undoes_scale_and_shift(is_used: bool) -> None:
    vae = autoencoder(use_post_quant_conv=is_used, use_quant_conv=is_used)
    latent = torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        found = Decoder(vae, SCALE, SHIFT)(latent)
        torch.testing.assert_close(found, vae.decode(latent / SCALE + SHIFT).sample)
        assert (found - vae.decode(latent).sample).abs().max() > 0.1


@pytest.mark.parametrize("is_used", [True, False])
def test_the_encoder_gives_moments_of_scaled_latents(is_used: bool) -> None:
    vae = autoencoder(use_post_quant_conv=is_used, use_quant_conv=is_used)
    picture = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        mean, std = Encoder(vae, SCALE, SHIFT)(picture)
        expected = vae.encode(picture).latent_dist
        torch.testing.assert_close(mean, (expected.mean - SHIFT) * SCALE)
        torch.testing.assert_close(std, expected.std * SCALE)


def test_encoder_and_decoder_are_inverse_in_scale_and_shift() -> None:
    vae = autoencoder()
    picture = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        mean, _ = Encoder(vae, SCALE, SHIFT)(picture)
        expected = vae.decode(vae.encode(picture).latent_dist.mean).sample
        torch.testing.assert_close(Decoder(vae, SCALE, SHIFT)(mean), expected, rtol=1e-4, atol=1e-5)


def test_an_extreme_variance_is_bounded_as_in_diffusers() -> None:
    vae = autoencoder()
    with torch.no_grad():
        vae.quant_conv.bias[4:] = torch.tensor([-200.0, 200.0, 0.0, 30.0])
        _, std = Encoder(vae, 1.0, 0.0)(torch.rand(1, 3, 32, 32))
        expected = vae.encode(torch.rand(1, 3, 32, 32)).latent_dist.std
    assert std[:, 0].max() == pytest.approx(float(expected[:, 0].max()))
    assert std[:, 1].max() == pytest.approx(float(expected[:, 1].max()))
    assert torch.isfinite(std).all()


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (TextDenoiser, ["latent", "time", "hidden_states"]),
        (ClassDenoiser, ["latent", "time", "label"]),
        (CLIPText, ["token_ids"]),
        (T5Text, ["token_ids", "token_mask"]),
        (Decoder, ["latent"]),
        (Encoder, ["picture"]),
    ],
)
def test_forwards_have_the_names_of_the_contract(kind: type, names: list[str]) -> None:
    assert list(inspect.signature(kind.forward).parameters)[1:] == names


def test_only_what_a_graph_needs_is_in_its_module() -> None:
    vae = autoencoder()
    wanted = {Decoder: ["decoder", "post_quant_conv"], Encoder: ["encoder", "quant_conv"]}
    for kind, parts in wanted.items():
        names = {key.split(".")[0] for key in kind(vae, 1.0, 0.0).state_dict()}
        assert sorted(names) == parts
