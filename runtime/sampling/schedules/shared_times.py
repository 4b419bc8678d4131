"""Networks that hear the same time all along a stretch of the schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.schedules.schedule import Array, NoiseSchedule
from denoisert.runtime.sampling.schedules.variance_preserving import Linear


@dataclass(frozen=True, slots=True)
@checked
class SharedTimes:
    """Near the data the network is told the start of one of a few equal parts of the time.

    told(n) = floor(n / w) w for n < below, w = below / parts; n itself above. The coefficients
    always take the true n.

    Args:
        schedule: alpha and sigma of the true times.
        below: model time under which times are shared, above 0.
        parts: number of equal parts, at least 1.

    Raises:
        InvalidInput: numbers outside their range.

    Source: Yang et al. 2023, arXiv 2306.11251 (E-TSDM).
    """

    schedule: NoiseSchedule = field(default_factory=Linear)
    below: float = 100.0
    parts: int = 5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.below) and 0.0 < self.below <= self.schedule.first):
            raise InvalidInput(
                f"shared times below {self.below}: give a model time above 0, at most "
                f"{self.schedule.first:g}."
            )
        if not isinstance(self.parts, int) or isinstance(self.parts, bool) or self.parts < 1:
            raise InvalidInput(f"parts {self.parts!r} must be a whole number, 1 or more.")

    @property
    def noise_gain(self) -> float | None:
        """That of the schedule."""
        return self.schedule.noise_gain

    @property
    def train_steps(self) -> int | None:
        """That of the schedule."""
        return self.schedule.train_steps

    @property
    def first(self) -> float:
        """That of the schedule."""
        return self.schedule.first

    @property
    def last(self) -> float:
        """That of the schedule."""
        return self.schedule.last

    def at(self, model_time: Array) -> tuple[Array, Array]:
        """(alpha, sigma) of the true times."""
        return self.schedule.at(model_time)

    def coordinates(self, sigma_ve: Array) -> tuple[Array, Array]:
        """That of the schedule."""
        return self.schedule.coordinates(sigma_ve)

    def model_time(self, sigma_ve: Array) -> Array:
        """True times of noise levels."""
        return self.schedule.model_time(sigma_ve)

    def told(self, model_time: Array) -> Array:
        """The start of the part that a time lies in; the time itself from `below` on."""
        width = self.below / self.parts
        shared = np.floor(model_time / width) * width
        return self.schedule.told(np.where(model_time < self.below, shared, model_time))

    def spaced(self, t: Array) -> Array:
        """That of the schedule."""
        return self.schedule.spaced(t)
