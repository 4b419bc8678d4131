"""The autoencoder's loss, its normalised latents and its files, on a tiny network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import ImageFont

from denoisert.export.zoo.emoji import autoencoder as module
from denoisert.export.zoo.emoji.autoencoder import (
    VIEWS,
    decode,
    encode,
    load_vae,
    normalise,
    render_views,
    save_vae,
    to_bytes,
    to_unit,
    train_vae,
    vae_loss,
    write_sheets,
)
from denoisert.export.zoo.emoji.checkpoint import Pace
from denoisert.export.zoo.emoji.data import GLYPH_PX, Glyph, crop, render
from denoisert.export.zoo.emoji.quality import (
    ORIGINALS_FILE,
    THUMBNAILS_FILE,
    read_sheet,
    reduce,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny_vae(seed: int = 0) -> AutoencoderKL:
    torch.manual_seed(seed)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=GLYPH_PX,
        mid_block_add_attention=False,
    )


def pictures(count: int, seed: int = 1) -> torch.Tensor:
    shape = (count, 3, GLYPH_PX, GLYPH_PX)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


class TestRanges:
    def test_bytes_become_minus_one_to_one_and_back(self):
        values = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
        unit = to_unit(values)
        assert (unit.min().item(), unit.max().item()) == (-1.0, 1.0)
        np.testing.assert_array_equal(to_bytes(unit), values.permute(0, 2, 3, 1).numpy())


class TestNormalise:
    def test_latents_have_mean_0_and_deviation_1_and_pictures_stay(self):
        vae, batch = tiny_vae().eval(), pictures(6)
        before = decode(vae, encode(vae, batch))
        latents = encode(vae, batch)
        assert abs(latents.std((0, 2, 3)) - 1).min() > 0.01
        normal = normalise(vae, batch)
        latents = encode(normal, batch)
        torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
        torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(4), atol=1e-4, rtol=0)
        torch.testing.assert_close(decode(normal, latents), before, atol=1e-4, rtol=0)

    def test_the_posterior_is_scaled_with_its_mean(self):
        vae, batch = tiny_vae().eval(), pictures(2)
        with torch.no_grad():
            old = vae.encode(batch).latent_dist
            deviation = encode(vae, batch).std((0, 2, 3))
            new = normalise(vae, batch).encode(batch).latent_dist
        expected = old.std / deviation[:, None, None]
        torch.testing.assert_close(new.std, expected, rtol=1e-3, atol=0)


class TestLoss:
    def test_it_is_lower_for_a_network_that_has_learnt(self, tmp_path):
        views = torch.full((3, 3, 3, GLYPH_PX, GLYPH_PX), 255, dtype=torch.uint8)
        views[:, :, 0, 16:48] = 30
        batch = to_unit(views[:, 0])
        before = vae_loss(tiny_vae(), batch, torch.Generator().manual_seed(0))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "new_vae", tiny_vae)
            patch.setattr(module, "BATCH", 4)
            trained = train_vae(views, Pace(12, 1e-2, warmup=2), tmp_path / "vae.checkpoint")
        after = vae_loss(trained, batch, torch.Generator().manual_seed(0))
        assert after.item() < 0.7 * before.item()

    def test_edges_count(self, monkeypatch):
        vae, batch = tiny_vae(), pictures(2)
        full = vae_loss(vae, batch, torch.Generator().manual_seed(0)).item()
        monkeypatch.setattr(module, "EDGE_WEIGHT", 0.0)
        assert vae_loss(vae, batch, torch.Generator().manual_seed(0)).item() < full - 0.1

    def test_divergence_counts(self, monkeypatch):
        vae, batch = tiny_vae(), pictures(2)
        monkeypatch.setattr(module, "KL_WEIGHT", 0.0)
        without = vae_loss(vae, batch, torch.Generator().manual_seed(0)).item()
        monkeypatch.setattr(module, "KL_WEIGHT", 1.0)
        with_it = vae_loss(vae, batch, torch.Generator().manual_seed(0)).item()
        posterior = vae.encode(batch).latent_dist
        expected = posterior.kl().mean().item() / posterior.mean[0].numel()
        assert with_it - without == pytest.approx(expected, rel=0.1)


class TestViews:
    def test_every_glyph_comes_straight_and_in_random_views(self, monkeypatch):
        monkeypatch.setattr(module, "load_glyphs", lambda: (Glyph(65, "a"), Glyph(66, "b")))
        face = ImageFont.load_default(109)
        monkeypatch.setattr(ImageFont, "truetype", lambda path, size: face)
        views = render_views(Path("any.ttf"), seed=0)
        assert views.shape == (2, 1 + VIEWS, 3, GLYPH_PX, GLYPH_PX)
        assert views.dtype == torch.uint8
        straight = crop(render(66, Path("any.ttf")))
        np.testing.assert_array_equal(views[1, 0].permute(1, 2, 0).numpy(), straight)
        assert straight.min() < 50
        assert len({view.numpy().tobytes() for view in views[0]}) > VIEWS / 2
        assert torch.equal(views, render_views(Path("any.ttf"), seed=0))
        assert not torch.equal(views, render_views(Path("any.ttf"), seed=1))


class TestFiles:
    def test_the_saved_autoencoder_is_rounded_to_float16(self, tmp_path: Path):
        vae = tiny_vae()
        again = load_vae(save_vae(vae, tmp_path / "vae"))
        weights = dict(vae.named_parameters())
        for name, value in again.named_parameters():
            assert value.dtype == torch.float32
            assert not value.requires_grad
            torch.testing.assert_close(value, weights[name].half().float(), rtol=0, atol=0)
        assert next(vae.parameters()).dtype == torch.float32

    def test_the_sheets_are_the_glyphs_and_their_reconstructions(self, tmp_path: Path):
        vae, count = tiny_vae().eval(), 20
        glyphs = ((pictures(count) + 1) * 127).byte()
        write_sheets(vae, glyphs, tmp_path)
        originals = read_sheet(tmp_path / ORIGINALS_FILE.name, GLYPH_PX)
        np.testing.assert_array_equal(originals, glyphs.permute(0, 2, 3, 1).numpy())
        back = to_bytes(decode(vae, encode(vae, to_unit(glyphs))))
        seen = read_sheet(tmp_path / THUMBNAILS_FILE.name, 32).astype(float)
        assert np.abs(seen - reduce(back)).max() <= 0.5
