"""Two schedules of one name: betas that rise like a sigmoid, and a signal that falls like one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.schedules.schedule import Array
from denoisert.runtime.sampling.schedules.variance_preserving import (
    VariancePreserving,
    check_betas,
    check_train_steps,
)

STEEPNESS = 6.0
LEAST_SIGNAL = 1e-9


@dataclass(frozen=True, slots=True)
@checked
class Sigmoid(VariancePreserving):
    """Betas beta_start + (beta_end - beta_start) / (1 + exp(-z)), z evenly from -6 to 6.

    Args:
        beta_start: approached at train time 0, in (0, 1).
        beta_end: approached at the last train time, at least beta_start.
        train_steps: number of train times.

    Source: Xu et al. 2022, arXiv 2203.02923, its published code; `sigmoid` in diffusers. Not the
    sigmoid of Jabri et al., which is `SigmoidSignal`.
    """

    beta_start: float = 1e-4
    beta_end: float = 0.02
    train_steps: int = 1000

    def __post_init__(self) -> None:
        check_train_steps(self.train_steps)
        check_betas(self.beta_start, self.beta_end)

    def betas(self) -> Array:
        """The logistic function of evenly spaced numbers, scaled."""
        rise = 1.0 / (1.0 + np.exp(-np.linspace(-STEEPNESS, STEEPNESS, self.train_steps)))
        return np.asarray(rise * (self.beta_end - self.beta_start) + self.beta_start)


@dataclass(frozen=True, slots=True)
@checked
class SigmoidSignal(VariancePreserving):
    """alpha^2 at u = (n + 1) / train_steps falls like a sigmoid, from 1 at u = 0 to 1e-9.

    alpha^2 = (s(end) - s(start + u (end - start))) / (s(end) - s(start)),
    s(z) = 1 / (1 + exp(-z / tau)).

    Args:
        start: argument at the data end.
        end: argument at the noise end, above start.
        tau: above 0; smaller is steeper.
        train_steps: number of train times.

    Raises:
        InvalidInput: numbers that give no falling curve.

    Source: Jabri et al. 2022, arXiv 2212.11972; Chen 2023, arXiv 2301.10972, algorithm 1.
    """

    start: float = -3.0
    end: float = 3.0
    tau: float = 1.0
    train_steps: int = 1000

    def __post_init__(self) -> None:
        check_train_steps(self.train_steps)
        is_finite = all(map(math.isfinite, (self.start, self.end, self.tau)))
        if not (is_finite and self.start < self.end and self.tau > 0.0):
            raise InvalidInput(f"{self}: give finite numbers with start < end and tau above 0.")

    def betas(self) -> Array:
        """1 - alpha^2_n / alpha^2_(n-1)."""
        kept = self.kept()
        return np.asarray(1.0 - kept / np.append(1.0, kept[:-1]))

    def kept(self) -> Array:
        """The sigmoid curve itself, at least 1e-9."""
        u = np.arange(1, self.train_steps + 1) / self.train_steps
        ends = self._logistic(np.array([self.start, self.end]))
        here = self._logistic(self.start + u * (self.end - self.start))
        return np.asarray(np.maximum((ends[1] - here) / (ends[1] - ends[0]), LEAST_SIGNAL))

    def _logistic(self, z: Array) -> Array:
        return np.asarray(1.0 / (1.0 + np.exp(-z / self.tau)))
