"""The yardstick's measure, and the shipped weights by that measure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import denoisert.export.zoo.digits as digits
from denoisert.export.zoo import ARCHITECTURES
from denoisert.export.zoo.digits.data import load_digits, split_digits
from denoisert.export.zoo.digits.model import DigitsConfig, DigitsDiT
from denoisert.export.zoo.digits.quality import agreement, classify, held_out_accuracy
from denoisert.export.zoo.digits.train import velocity_loss
from denoisert.runtime.errors import InvalidInput

FOLDER = Path(digits.__file__).parent
WEIGHTS = FOLDER / "weights.safetensors"
NULL = DigitsConfig().null_label


@torch.no_grad()
def euler(model: DigitsDiT, label: torch.Tensor, seed: int, *, steps: int, scale: float):
    """Plain Euler from t = 1 to t = 0 with both branches of guidance in one batch."""
    x = torch.randn(len(label), 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    both = torch.cat((label, torch.full_like(label, NULL)))
    for t in torch.linspace(1, 0, steps + 1)[:-1]:
        cond, uncond = model(torch.cat((x, x)), t.expand(len(both)), both).chunk(2)
        x = x - (uncond + scale * (cond - uncond)) / steps
    return x


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads of so small a network wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained() -> DigitsDiT:
    description = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    model = ARCHITECTURES[description["architecture"]].from_config(description["config"])
    model.load_state_dict(load_file(WEIGHTS), strict=True)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def asked() -> torch.Tensor:
    return torch.arange(10).repeat_interleave(20)


@pytest.fixture(scope="module")
def samples(trained: DigitsDiT, asked: torch.Tensor) -> np.ndarray:
    return euler(trained, asked, 2024, steps=12, scale=2.0).numpy()


class TestMeasure:
    def test_the_classifier_knows_real_digits_that_it_has_not_seen(self):
        accuracy = held_out_accuracy()
        print(f"held-out accuracy {accuracy:.4f}")
        assert accuracy >= 0.98

    def test_agreement_counts_the_pictures_of_the_asked_class(self):
        _, real = split_digits()
        seen = classify(real.images)
        wrong = seen.copy()
        wrong[:97] = (wrong[:97] + 3) % 10
        assert agreement(real.images, seen) == 1.0
        assert agreement(real.images, wrong) == pytest.approx(300 / 397)

    def test_noise_and_paper_are_no_digits(self):
        noise = np.random.default_rng(71).uniform(-1, 1, (200, 1, 16, 16))
        labels = np.arange(200) % 10
        assert agreement(noise, labels) < 0.3
        assert agreement(np.full((200, 16, 16), -1.0), labels) == pytest.approx(0.1)

    def test_the_channel_axis_and_what_lies_outside_the_range_do_not_matter(self):
        images = load_digits().images[:50]
        louder = np.where(np.abs(images) == 1.0, 3 * images, images)
        assert (classify(images[:, 0]) == classify(images)).all()
        assert (classify(louder) == classify(images)).all()

    @pytest.mark.parametrize(
        ("images", "labels", "message"),
        [
            (np.zeros((2, 8, 8)), np.zeros(2, int), "have shape"),
            (np.zeros((2, 3, 16, 16)), np.zeros(2, int), "have shape"),
            (np.zeros((0, 16, 16)), np.zeros(0, int), "at least 1"),
            (np.zeros((2, 16, 16)), np.zeros(3, int), "one for each"),
            (np.full((2, 16, 16), np.nan), np.zeros(2, int), "not finite"),
        ],
    )
    def test_what_cannot_be_measured_is_refused(
        self, images: np.ndarray, labels: np.ndarray, message: str
    ):
        with pytest.raises(InvalidInput, match=message):
            agreement(images, labels)


class TestShippedWeights:
    def test_they_are_small_whole_and_finite(self, trained: DigitsDiT):
        assert WEIGHTS.stat().st_size <= 6_000_000
        for name, value in trained.named_parameters():
            assert value.dtype == torch.float32, name
            assert value.isfinite().all(), name
            assert value.any(), name

    def test_the_description_names_every_size(self, trained: DigitsDiT):
        description = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
        assert description["architecture"] == "digits-dit"
        assert sorted(description["config"]) == sorted(DigitsConfig.__dataclass_fields__)
        assert trained.config == DigitsConfig()

    def test_every_input_matters(self, trained: DigitsDiT):
        generator = torch.Generator().manual_seed(83)
        latent = torch.randn(11, 1, 16, 16, generator=generator)
        time, label = torch.rand(11, generator=generator), torch.arange(11)
        reference = trained(latent, time, label)
        for changed in (
            trained(latent.roll(1, 0), time, label),
            trained(latent, time.roll(1), label),
            trained(latent, time, label.roll(1)),
        ):
            assert (changed - reference).abs().max() > 0.1 * reference.abs().max()

    def test_without_guidance_they_still_hear_the_label(
        self, trained: DigitsDiT, asked: torch.Tensor
    ):
        few = asked[::4]
        plain = euler(trained, few, 84, steps=8, scale=1.0).numpy()
        assert agreement(plain, few.numpy()) >= 0.85
        assert agreement(plain, (few.numpy() + 1) % 10) <= 0.1

    def test_samples_are_no_copies_of_training_pictures(self, samples: np.ndarray):
        """Held-out pictures are 0.18 (root mean square) from the nearest training picture."""
        real, held_out = split_digits()
        known = real.images.reshape(1, -1, 256)
        distances = [
            np.sqrt(np.square(pictures.reshape(-1, 1, 256) - known).mean(-1).min(1))
            for pictures in (samples[::4].clip(-1, 1), held_out.images[:50])
        ]
        assert np.median(distances[0]) > 0.75 * np.median(distances[1])
        assert distances[0].min() > 0.03

    def test_they_know_labels_of_pictures_they_have_not_seen(self, trained: DigitsDiT):
        _, real = split_digits()
        x0, label = torch.from_numpy(real.images), torch.from_numpy(real.labels)
        asked_for = (label, torch.full_like(label, NULL), (label + 1) % 10)
        seeds = [torch.Generator().manual_seed(82) for _ in asked_for]
        right, none, wrong = (
            velocity_loss(trained, x0, asked, dropout=0.0, generator=seed).item()
            for asked, seed in zip(asked_for, seeds, strict=True)
        )
        print(f"held-out loss {right:.4f}, null class {none:.4f}, wrong class {wrong:.4f}")
        assert right < 0.145
        assert 1.2 * right < none < 0.7 * wrong

    def test_two_hundred_samples_are_the_digits_that_were_asked_for(
        self, samples: np.ndarray, asked: torch.Tensor
    ):
        share = agreement(samples, asked.numpy())
        print(f"agreement {share:.3f} of {len(asked)} samples")
        assert share >= 0.95

    def test_samples_have_the_ink_of_real_pictures(self, samples: np.ndarray):
        assert np.abs(samples).max() < 1.8
        _, real = split_digits()
        shares = [0.05, 0.25, 0.5, 0.75, 0.95]
        expected = np.quantile(real.images, shares)
        np.testing.assert_allclose(np.quantile(samples, shares), expected, atol=0.15)
        assert samples.mean() == pytest.approx(real.images.mean(), abs=0.08)

    def test_samples_of_one_class_differ(self, samples: np.ndarray, asked: torch.Tensor):
        real, _ = split_digits()
        for digit in range(10):
            spread = samples[asked.numpy() == digit].std(axis=0).mean()
            assert spread > 0.5 * real.images[real.labels == digit].std(axis=0).mean(), digit

    def test_the_null_class_draws_every_digit(self, trained: DigitsDiT):
        null = torch.full((80,), NULL)
        seen = classify(euler(trained, null, 81, steps=8, scale=1.0).numpy())
        assert len(np.unique(seen)) >= 8
        assert np.bincount(seen).max() <= 32
