"""Pace, checkpoints and ranks: what lets a training be killed and go on, alone or in two."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import multiprocessing, nn

from denoisert.export.zoo.emoji import checkpoint as module
from denoisert.export.zoo.emoji.checkpoint import (
    Pace,
    Training,
    average_gradients,
    generator_of,
    rank,
    world_size,
)


def loss_of(network: nn.Module, step: int) -> torch.Tensor:
    """A loss that depends on the step alone."""
    x = torch.randn(8, 3, generator=generator_of(1, step))
    return (network(x) - x.sum(1, keepdim=True)).square().mean()


def run(path: Path, steps: int, until: int) -> Training:
    """Train a small layer from wherever the checkpoint is, and stop early as if killed."""
    torch.manual_seed(0)
    training = Training(nn.Linear(3, 1), Pace(steps=steps, peak=0.05, warmup=3), path)
    while training.step < until:
        training.update(loss_of(training.network, training.step))
    return training


def exchange(number: int, folder: str) -> None:
    """One of two ranks: its gradient is its number; both write the mean they get."""
    rendezvous = f"file://{folder}/rendezvous"
    torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=number, world_size=2)
    layer = nn.Linear(2, 1)
    for weight in layer.parameters():
        weight.grad = torch.full_like(weight, float(number + 1))
    average_gradients(layer)
    first = int(generator_of(7, 3).initial_seed())
    torch.save(([weight.grad for weight in layer.parameters()], first), f"{folder}/{number}.pt")
    torch.distributed.destroy_process_group()


class TestPace:
    def test_the_rate_rises_stays_and_falls_as_a_cosine(self):
        pace = Pace(steps=1000, peak=2.0, warmup=10, cooldown=0.2)
        assert pace.learning_rate_at(0) == pytest.approx(0.2)
        assert pace.learning_rate_at(9) == pace.learning_rate_at(800) == 2.0
        assert pace.learning_rate_at(900) == pytest.approx(1.0)
        assert pace.learning_rate_at(1000) == pytest.approx(0.0)

    def test_a_cooldown_of_everything_falls_from_the_start(self):
        pace = Pace(steps=100, peak=1.0, warmup=1)
        for step in (1, 30, 77):
            expected = 0.5 * (1 + math.cos(math.pi * step / 100))
            assert pace.learning_rate_at(step) == pytest.approx(expected)

    def test_the_average_follows_faster_in_the_beginning(self):
        pace = Pace(steps=10, peak=1.0, ema_decay=0.9)
        assert pace.ema_decay_at(0) == pytest.approx(0.1)
        assert pace.ema_decay_at(5) == pytest.approx(0.4)
        assert pace.ema_decay_at(5000) == 0.9


class TestTraining:
    def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(self, tmp_path):
        whole = run(tmp_path / "whole.pt", 12, 12)
        run(tmp_path / "killed.pt", 12, 5).write()
        resumed = run(tmp_path / "killed.pt", 12, 12)
        for name in ("network", "average"):
            expected = getattr(whole, name).state_dict()
            for key, value in getattr(resumed, name).state_dict().items():
                torch.testing.assert_close(value, expected[key], rtol=0, atol=0)

    def test_it_learns(self, tmp_path):
        training = run(tmp_path / "a.pt", 200, 200)
        assert loss_of(training.network, 5000).item() < 0.01
        assert loss_of(nn.Linear(3, 1), 5000).item() > 0.1

    def test_the_average_lies_between_start_and_end(self, tmp_path):
        torch.manual_seed(0)
        start = nn.Linear(3, 1).weight.detach()
        training = run(tmp_path / "a.pt", 10, 2)
        mean, end = training.average.weight, training.network.weight.detach()
        assert not torch.equal(mean, end)
        assert (mean - end).norm() < (start - end).norm()
        assert not mean.requires_grad

    def test_the_last_step_writes_and_an_early_one_does_not(self, tmp_path):
        run(tmp_path / "early.pt", 12, 3)
        run(tmp_path / "late.pt", 3, 3)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["late.pt"]

    def test_a_checkpoint_is_due_after_its_time(self, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "SECONDS_BETWEEN", -1.0)
        run(tmp_path / "a.pt", 12, 1)
        assert torch.load(tmp_path / "a.pt", weights_only=True)["step"] == 1

    def test_a_write_that_fails_leaves_the_old_file(self, tmp_path, monkeypatch):
        training = run(tmp_path / "a.pt", 2, 2)
        before = (tmp_path / "a.pt").read_bytes()

        def fail(state: object, path: Path) -> None:
            path.write_bytes(b"half")
            raise OSError("disk full")

        monkeypatch.setattr(module.torch, "save", fail)
        with pytest.raises(OSError, match="disk full"):
            training.write()
        assert (tmp_path / "a.pt").read_bytes() == before


class TestRanks:
    def test_alone_it_is_rank_0_of_1_and_gradients_stay(self):
        layer = nn.Linear(2, 1)
        torch.autograd.backward(layer(torch.ones(1, 2)).sum())
        average_gradients(layer)
        assert (rank(), world_size()) == (0, 1)
        torch.testing.assert_close(layer.weight.grad, torch.ones(1, 2))

    def test_every_step_has_its_own_numbers(self):
        drawn = {int(generator_of(0, step).initial_seed()) for step in range(100)}
        assert len(drawn) == 100
        assert generator_of(3, 4).initial_seed() == generator_of(3, 4).initial_seed()

    def test_two_ranks_get_the_mean_gradient_and_different_numbers(self, tmp_path):
        multiprocessing.spawn(exchange, args=(str(tmp_path),), nprocs=2)
        results = [torch.load(tmp_path / f"{number}.pt", weights_only=True) for number in (0, 1)]
        for gradients, _ in results:
            assert all((gradient == 1.5).all() for gradient in gradients)
        assert results[0][1] != results[1][1]
