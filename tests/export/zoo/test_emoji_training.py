"""The loss, the captions and the training of the UNet with its text encoder, on tiny networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from denoisert.export.zoo.emoji import autoencoder
from denoisert.export.zoo.emoji import train as module
from denoisert.export.zoo.emoji.architecture import TEXT_WIDTH, TOKENS, new_scheduler
from denoisert.export.zoo.emoji.checkpoint import Pace
from denoisert.export.zoo.emoji.data import load_glyphs
from denoisert.export.zoo.emoji.folder import load_pipeline
from denoisert.export.zoo.emoji.tokenizer import Vocabulary, learn
from denoisert.export.zoo.emoji.train import (
    NOISY_FROM,
    Painter,
    caption_ids,
    train_painter,
    v_loss,
)


class Oracle(torch.nn.Module):
    """Knows the clean latents and keeps what it was asked; its v is exact, times a factor."""

    def __init__(self, x0: torch.Tensor, factor: float = 1.0) -> None:
        super().__init__()
        self.x0, self.factor = x0, factor

    def forward(self, x_t: torch.Tensor, model_time: torch.Tensor, ids: torch.Tensor):
        self.x_t, self.model_time, self.ids = x_t, model_time, ids
        alpha_bar = new_scheduler().alphas_cumprod[model_time][:, None, None, None]
        alpha, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        eps = (x_t - alpha * self.x0) / sigma
        return self.factor * (alpha * eps - sigma * self.x0)


def tiny_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        block_out_channels=(8,),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=1,
        norm_num_groups=4,
    )


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, a tiny UNet, small batches."""
    monkeypatch.setattr(module, "new_unet", tiny_unet)
    monkeypatch.setattr(module, "BATCH", 8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return learn((glyph.caption for glyph in load_glyphs()), 50)


def clean(count: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(count, 4, 16, 16, generator=torch.Generator().manual_seed(seed))


def loss_with(painter: torch.nn.Module, x0: torch.Tensor, seed: int = 0) -> float:
    ids = torch.zeros(len(x0), TOKENS, dtype=torch.int64)
    generator = torch.Generator().manual_seed(seed)
    return v_loss(painter, x0, ids, new_scheduler().alphas_cumprod, generator).item()


class TestLoss:
    def test_exact_v_has_no_loss_and_none_has_the_power_of_v(self):
        x0 = clean(64)
        assert loss_with(Oracle(x0), x0) < 1e-4
        assert loss_with(Oracle(x0, factor=0.0), x0) == pytest.approx(1.0, abs=0.05)

    def test_the_other_sign_is_wrong(self):
        x0 = clean(64)
        assert loss_with(Oracle(x0, factor=-1.0), x0) == pytest.approx(4.0, abs=0.2)

    def test_half_of_the_times_lie_in_the_noisier_part(self):
        oracle = Oracle(clean(4000))
        loss_with(oracle, oracle.x0)
        times = oracle.model_time
        assert times[::2].min() >= NOISY_FROM
        assert times[1::2].min() < 20
        assert times.max() in range(980, 1000)
        share = (times >= NOISY_FROM).float().mean().item()
        assert share == pytest.approx(0.5 + 0.5 * (1 - NOISY_FROM / 1000), abs=0.03)

    def test_noisy_latents_keep_unit_power(self):
        oracle = Oracle(clean(256))
        loss_with(oracle, oracle.x0)
        assert oracle.x_t.std().item() == pytest.approx(1.0, abs=0.02)


class TestCaptions:
    def test_every_glyph_has_a_row_and_the_last_is_empty(self, vocabulary):
        ids = caption_ids(vocabulary)
        size = len(vocabulary.tokens)
        assert ids.shape == (len(load_glyphs()) + 1, TOKENS)
        assert ids[-1].tolist() == [size - 2] + [size - 1] * (TOKENS - 1)
        assert (ids[:-1, 1] < size - 2).all()
        assert ids.max() == size - 1

    def test_a_caption_changes_what_is_drawn(self, vocabulary):
        torch.manual_seed(0)
        painter = Painter(len(vocabulary.tokens)).eval()
        ids, x_t = caption_ids(vocabulary), clean(1)
        time = torch.tensor([500])
        with torch.no_grad():
            first, again, second = (painter(x_t, time, ids[n : n + 1]) for n in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.allclose(first, second)


class TestTraining:
    def test_it_learns_and_a_finished_run_is_only_read(self, vocabulary, tmp_path):
        latents = clean(1).expand(len(load_glyphs()), 3, 4, 16, 16)
        pace = Pace(steps=25, peak=1e-2, warmup=2)
        painter = train_painter(latents, vocabulary, pace, tmp_path / "a.checkpoint")
        torch.manual_seed(0)
        fresh = Painter(len(vocabulary.tokens))
        x0 = latents[:32, 0]
        assert loss_with(painter, x0, seed=9) < 0.9 * loss_with(fresh, x0, seed=9)
        again = train_painter(latents, vocabulary, pace, tmp_path / "a.checkpoint")
        for name, value in painter.state_dict().items():
            assert torch.equal(value, again.state_dict()[name]), name

    def test_a_tenth_of_the_captions_is_dropped_and_half_of_the_views_straight(
        self, vocabulary, tmp_path, monkeypatch
    ):
        seen: list[tuple[torch.Tensor, torch.Tensor]] = []

        def spy(painter, x0, ids, alphas_bar, generator):
            seen.append((x0[:, 0, 0, 0], ids))
            return painter.unet.conv_in.bias.sum() * 0.0

        monkeypatch.setattr(module, "v_loss", spy)
        monkeypatch.setattr(module, "BATCH", 1000)
        count = len(load_glyphs())
        latents = torch.arange(count * 3.0).reshape(count, 3, 1, 1, 1).expand(-1, -1, 4, 16, 16)
        train_painter(latents, vocabulary, Pace(2, 1e-3), tmp_path / "a.checkpoint")
        value = torch.cat([x0 for x0, _ in seen]).long()
        ids, rows = torch.cat([row for _, row in seen]), caption_ids(vocabulary)
        dropped = (ids == rows[-1]).all(1)
        assert dropped.float().mean().item() == pytest.approx(0.1, abs=0.03)
        glyph, view = value // 3, value % 3
        assert torch.equal(ids[~dropped], rows[glyph[~dropped]])
        assert (view == 0).float().mean().item() == 0.5
        assert set(view.tolist()) == {0, 1, 2}


@pytest.mark.filterwarnings("ignore")
class TestCommands:
    def test_the_two_commands_make_a_folder_that_draws(self, monkeypatch, tmp_path):
        def tiny_vae() -> AutoencoderKL:
            return AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 3,
                up_block_types=("UpDecoderBlock2D",) * 3,
                block_out_channels=(8, 8, 8),
                norm_num_groups=4,
                sample_size=64,
            )

        def views(font: Path, seed: int, strength: float = 1.0) -> torch.Tensor:
            shape = (5, 3, 3, 64, 64)
            generator = torch.Generator().manual_seed(seed)
            return torch.randint(256, shape, generator=generator, dtype=torch.uint8)

        monkeypatch.setattr(autoencoder, "new_vae", tiny_vae)
        monkeypatch.setattr(autoencoder, "BATCH", 4)
        for room in (autoencoder, module):
            monkeypatch.setattr(room, "render_views", views)
            monkeypatch.setattr(room, "load_glyphs", lambda: load_glyphs()[:5])
        common = ["--font", "any.ttf", "--work", str(tmp_path), "--steps", "1"]
        autoencoder.main(common)
        assert {"glyphs.png", "thumbnails.png", "vae", "vae.checkpoint"} == {
            path.name for path in tmp_path.iterdir()
        }
        module.main([*common, "--out", str(tmp_path / "model")])
        pipeline = load_pipeline(tmp_path / "model")
        picture = pipeline("red apple", num_inference_steps=1, output_type="np").images
        assert picture.shape == (1, 64, 64, 3)
        assert np.isfinite(picture).all()
