"""Variance preserving schedules, alpha^2 + sigma^2 = 1, given by the betas of whole train times.

alpha^2 at time n is the product of 1 - beta over the times 0 .. n. Between whole times
sigma / alpha is linear in time, as in diffusers' Euler scheduler; at whole times it is exact.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.schedules.schedule import Array

MOST_TRAIN_STEPS = 1_000_000  # a card is foreign input: it must not make us allocate without bound
LARGEST_BETA = 0.999
COSINE_OFFSET = 0.008


class VariancePreserving(ABC):
    """What all schedules given by betas share."""

    __slots__ = ()

    noise_gain: ClassVar[float] = 1.0
    train_steps: int

    @abstractmethod
    def betas(self) -> Array:
        """(train_steps,) share of the variance that each train time replaces by noise."""

    @property
    def first(self) -> float:
        """The last train time, where there is most noise."""
        return float(self.train_steps - 1)

    @property
    def last(self) -> float:
        """Train time 0."""
        return 0.0

    def kept(self) -> Array:
        """(train_steps,) alpha^2 of the whole train times, the product of 1 - beta so far."""
        return np.asarray(np.cumprod(1.0 - self.betas()))

    def levels(self) -> Array:
        """(train_steps,) sigma / alpha of the whole train times, rising; infinite at alpha = 0."""
        kept = self.kept()
        with np.errstate(divide="ignore"):
            return np.sqrt((1.0 - kept) / kept)

    def at(self, model_time: Array) -> tuple[Array, Array]:
        """(alpha, sigma) of model times in 0 .. train_steps - 1, whole or not.

        Raises:
            InvalidInput: a time outside the trained range.
        """
        if not np.all((model_time >= 0) & (model_time <= self.first)):
            raise InvalidInput(
                f"model times {model_time} reach beyond the trained range, 0 to {self.first:g}. "
                "Ask for times inside it."
            )
        return self.coordinates(np.interp(model_time, np.arange(self.train_steps), self.levels()))

    def coordinates(self, sigma_ve: Array) -> tuple[Array, Array]:
        """(alpha, sigma) = (1, sigma_ve) / sqrt(1 + sigma_ve^2); infinite: pure noise."""
        alpha = 1.0 / np.hypot(1.0, sigma_ve)
        finite = np.where(np.isinf(sigma_ve), 0.0, sigma_ve)
        return alpha, np.where(np.isinf(sigma_ve), 1.0, finite * alpha)

    def model_time(self, sigma_ve: Array) -> Array:
        """Time linear in log(sigma_ve) between whole times, held at both ends."""
        level = np.log(np.maximum(sigma_ve, 1e-10))
        return np.interp(level, np.log(self.levels()), np.arange(self.train_steps))

    def told(self, model_time: Array) -> Array:
        """The time itself."""
        return model_time

    def spaced(self, t: Array) -> Array:
        """Times (train_steps - 1) t, not rounded."""
        return self.first * t


def check_train_steps(count: int) -> None:
    """Refuse numbers of train times that no schedule has.

    Raises:
        InvalidInput: not a whole number from 2 to a million.
    """
    if not isinstance(count, int) or isinstance(count, bool) or not 2 <= count <= MOST_TRAIN_STEPS:
        raise InvalidInput(
            f"train_steps {count!r} must be a whole number, 2 to {MOST_TRAIN_STEPS}."
        )


def check_betas(start: float, end: float) -> None:
    """Refuse betas that do not rise within (0, 1).

    Raises:
        InvalidInput: not 0 < start <= end < 1.
    """
    if not 0.0 < start <= end < 1.0:
        raise InvalidInput(f"betas from {start} to {end} must rise within (0, 1).")


@dataclass(frozen=True, slots=True)
@checked
class Linear(VariancePreserving):
    """Betas linear in time.

    Args:
        beta_start: beta of train time 0, in (0, 1).
        beta_end: beta of the last train time, at least beta_start.
        train_steps: number of train times.

    Source: Ho et al. 2020, arXiv 2006.11239, section 4.
    """

    beta_start: float = 1e-4
    beta_end: float = 0.02
    train_steps: int = 1000

    def __post_init__(self) -> None:
        check_train_steps(self.train_steps)
        check_betas(self.beta_start, self.beta_end)

    def betas(self) -> Array:
        """Evenly spaced from beta_start to beta_end."""
        return np.linspace(self.beta_start, self.beta_end, self.train_steps)


@dataclass(frozen=True, slots=True)
@checked
class ScaledLinear(VariancePreserving):
    """Square roots of the betas linear in time, the schedule of latent diffusion.

    Args:
        beta_start: beta of train time 0, in (0, 1).
        beta_end: beta of the last train time, at least beta_start.
        train_steps: number of train times.

    Source: Rombach et al. 2022, arXiv 2112.10752, its published code.
    """

    beta_start: float = 0.00085
    beta_end: float = 0.012
    train_steps: int = 1000

    def __post_init__(self) -> None:
        check_train_steps(self.train_steps)
        check_betas(self.beta_start, self.beta_end)

    def betas(self) -> Array:
        """Squares of numbers evenly spaced from sqrt(beta_start) to sqrt(beta_end)."""
        return np.linspace(self.beta_start**0.5, self.beta_end**0.5, self.train_steps) ** 2


@dataclass(frozen=True, slots=True)
@checked
class Cosine(VariancePreserving):
    """alpha^2 at u = (n + 1) / train_steps falls like cos^2(pi/2 (u + 0.008) / 1.008).

    Betas are at most 0.999, so some signal is left at the noise end.

    Args:
        train_steps: number of train times.

    Source: Nichol and Dhariwal 2021, arXiv 2102.09672, eq. 17; squaredcos_cap_v2 in diffusers.
    """

    train_steps: int = 1000

    def __post_init__(self) -> None:
        check_train_steps(self.train_steps)

    def betas(self) -> Array:
        """1 - f(u + 1/train_steps) / f(u), capped."""
        u = np.arange(self.train_steps + 1) / self.train_steps
        kept: Array = np.cos((u + COSINE_OFFSET) / (1.0 + COSINE_OFFSET) * math.pi / 2.0) ** 2
        return np.clip(1.0 - kept[1:] / kept[:-1], 0.0, LARGEST_BETA)
