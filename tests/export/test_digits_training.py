"""The yardstick's data, split, loss and training: what the shipped weights came from."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn import datasets
from torch.nn import functional

from denoisert.export.zoo.digits import train as training
from denoisert.export.zoo.digits.data import load_digits, split_digits
from denoisert.export.zoo.digits.model import DigitsConfig, DigitsDiT
from denoisert.export.zoo.digits.train import Recipe, follow, main, save_weights, velocity_loss
from denoisert.runtime.errors import InvalidInput


class Spy(torch.nn.Module):
    """A network that knows the one clean picture, and keeps what it was asked."""

    def __init__(self, x0: torch.Tensor) -> None:
        super().__init__()
        self.config = DigitsConfig()
        self.x0 = x0

    def forward(self, latent: torch.Tensor, time: torch.Tensor, label: torch.Tensor):
        self.latent, self.time, self.label = latent, time, label
        return (latent - self.x0) / time[:, None, None, None]


class TestData:
    def test_pictures_are_scikit_learns_enlarged_bilinearly(self):
        real = load_digits()
        source = datasets.load_digits()
        pixels = torch.from_numpy(source.images)[:, None] / 8 - 1
        expected = functional.interpolate(pixels, size=16, mode="bilinear", align_corners=False)
        np.testing.assert_allclose(real.images, expected.numpy(), atol=1e-6)
        np.testing.assert_array_equal(real.labels, source.target)

    def test_types_and_ranges_are_the_documented_ones(self):
        real = load_digits()
        assert real.images.shape == (1797, 1, 16, 16)
        assert (real.images.dtype, real.labels.dtype) == (np.float32, np.int64)
        assert (real.images.min(), real.images.max()) == (-1.0, 1.0)
        assert set(real.labels.tolist()) == set(range(10))

    def test_the_split_parts_the_whole_set_and_never_changes(self):
        train, held_out = split_digits()
        again, _ = split_digits()
        assert (len(train.labels), len(held_out.labels)) == (1400, 397)
        np.testing.assert_array_equal(train.images, again.images)
        joined = np.sort(np.concatenate((train.images, held_out.images)).reshape(1797, -1), axis=0)
        np.testing.assert_array_equal(
            joined, np.sort(load_digits().images.reshape(1797, -1), axis=0)
        )
        assert min(np.bincount(train.labels)) > 120
        assert min(np.bincount(held_out.labels)) > 25


class TestRecipe:
    def test_the_rate_rises_then_falls_to_zero(self):
        recipe = Recipe(steps=1000, learning_rate=0.5, warmup=100)
        rates = [recipe.learning_rate_at(step) for step in range(1000)]
        assert rates[0] == pytest.approx(0.005)
        assert max(rates) == pytest.approx(0.5, rel=0.03)
        assert rates.index(max(rates)) == pytest.approx(99, abs=2)
        assert rates[500] == pytest.approx(0.25)
        assert rates[-1] < 1e-5
        assert rates[100:] == sorted(rates[100:], reverse=True)

    def test_the_average_forgets_its_start(self):
        recipe = Recipe(ema_decay=0.9)
        assert recipe.ema_decay_at(0) == pytest.approx(0.1)
        assert recipe.ema_decay_at(40) == pytest.approx(0.82)
        assert recipe.ema_decay_at(10_000) == 0.9

    @pytest.mark.parametrize("steps", [0, -3])
    def test_no_steps_are_refused(self, steps: int):
        with pytest.raises(InvalidInput, match="at least 1"):
            Recipe(steps=steps)


class TestLoss:
    def loss(self, model: torch.nn.Module, batch: int, *, dropout: float = 0.0, seed: int = 0):
        generator = torch.Generator().manual_seed(seed)
        x0 = torch.full((batch, 1, 16, 16), 0.5)
        label = torch.arange(batch) % 10
        return velocity_loss(model, x0, label, dropout=dropout, generator=generator).item()

    def test_a_network_that_knows_the_picture_has_no_loss(self):
        """(x_t - x0) / t = eps - x0 only for x_t = (1 - t) x0 + t eps and the target eps - x0."""
        assert self.loss(Spy(torch.tensor(0.5)), 64) < 1e-8
        assert self.loss(Spy(torch.tensor(0.4)), 64) > 1e-3

    def test_a_network_that_predicts_zero_has_the_second_moment_of_the_velocity(self):
        """E (eps - x0)^2 = 1 + x0^2 = 1.25."""
        assert self.loss(DigitsDiT(), 256) == pytest.approx(1.25, rel=0.03)

    def test_times_are_logit_normal(self):
        spy = Spy(torch.tensor(0.5))
        self.loss(spy, 4000)
        quantiles = np.quantile(spy.time.numpy(), [0.1587, 0.5, 0.8413])
        expected = [1 / (1 + math.e), 0.5, 1 / (1 + math.exp(-1))]
        np.testing.assert_allclose(quantiles, expected, atol=0.02)

    @pytest.mark.parametrize(
        ("dropout", "low", "high"), [(0.0, 0, 0), (0.1, 0.08, 0.12), (1, 1, 1)]
    )
    def test_labels_are_dropped_to_the_null_class(self, dropout: float, low: float, high: float):
        spy = Spy(torch.tensor(0.5))
        self.loss(spy, 4000, dropout=dropout)
        dropped = spy.label == 10
        assert low <= dropped.float().mean() <= high
        assert torch.equal(spy.label[~dropped], (torch.arange(4000) % 10)[~dropped])

    def test_the_generator_alone_decides(self):
        model = DigitsDiT()
        assert self.loss(model, 8, seed=1) == self.loss(model, 8, seed=1)
        assert self.loss(model, 8, seed=1) != self.loss(model, 8, seed=2)


class TestTraining:
    def test_the_average_follows_by_its_decay(self):
        average, model = DigitsDiT().requires_grad_(False), DigitsDiT()
        before = [value.clone() for value in average.parameters()]
        follow(average, model, 0.75)
        for old, leader, value in zip(
            before, model.parameters(), average.parameters(), strict=True
        ):
            torch.testing.assert_close(value, 0.75 * old + 0.25 * leader.detach())

    def test_a_short_run_writes_a_loadable_file(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        threads = torch.get_num_threads()
        main(["--out", str(tmp_path / "new"), "--steps", "3", "--seed", "4"])
        assert torch.get_num_threads() == threads
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["weights.safetensors"]
        printed = capsys.readouterr().out
        assert "step 3/3: mean loss 1." in printed
        assert "weights.safetensors: " in printed
        DigitsDiT().load_state_dict(
            load_file(tmp_path / "new" / "weights.safetensors"), strict=True
        )

    def test_the_seed_decides_the_weights(self):
        first, same, other = (
            training.train(Recipe(steps=2, seed=seed, warmup=1)) for seed in (7, 7, 8)
        )
        for name, value in first.state_dict().items():
            assert torch.equal(value, same.state_dict()[name]), name
        assert not torch.equal(first.position, other.position)
        assert first.project.weight.abs().max() > 0

    def test_the_loss_falls(self, capsys: pytest.CaptureFixture[str]):
        training.train(Recipe(steps=20, warmup=1, batch=32))
        mean = float(capsys.readouterr().out.split()[-1])
        assert mean < 1.25

    def test_an_old_file_is_replaced_and_survives_a_failure(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        path = save_weights(DigitsDiT(), tmp_path)
        newer = DigitsDiT()
        assert save_weights(newer, tmp_path) == path
        assert torch.equal(load_file(path)["position"], newer.position)

        def full_disk(tensors: dict[str, torch.Tensor], file: Path) -> None:
            file.write_bytes(b"half")
            raise OSError("no space left")

        monkeypatch.setattr(training, "save_file", full_disk)
        with pytest.raises(OSError, match="no space"):
            save_weights(DigitsDiT(), tmp_path)
        assert torch.equal(load_file(path)["position"], newer.position)
        assert list(tmp_path.iterdir()) == [path]
