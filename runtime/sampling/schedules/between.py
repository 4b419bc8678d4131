"""What the network is told between the points of a grid, for solvers that ask there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from denoisert.runtime.sampling.grid import Path
from denoisert.runtime.sampling.schedules.schedule import Array, NoiseSchedule

TIES = 9  # decimals that a time is taken to, so that its rounding does not decide


@dataclass(frozen=True, slots=True)
class ToldPath:
    """The path of a schedule, with the times that its network is told.

    Args:
        schedule: what the network was trained on.
    """

    schedule: NoiseSchedule

    def at(self, model_time: Array) -> tuple[Array, Array]:
        """(alpha, sigma) of model times."""
        return self.schedule.at(model_time)

    def coordinates(self, sigma_ve: Array) -> tuple[Array, Array]:
        """(alpha, sigma) of noise levels sigma / alpha."""
        return self.schedule.coordinates(sigma_ve)

    def model_time(self, sigma_ve: Array) -> Array:
        """What the network is told at noise levels sigma / alpha."""
        return self.schedule.told(self.schedule.model_time(sigma_ve))


@dataclass(frozen=True, slots=True)
class Whole:
    """A path whose times are rounded.

    Args:
        path: with fractional times.
    """

    path: Path

    def at(self, model_time: Array) -> tuple[Array, Array]:
        """(alpha, sigma) of model times."""
        return self.path.at(model_time)

    def coordinates(self, sigma_ve: Array) -> tuple[Array, Array]:
        """(alpha, sigma) of noise levels sigma / alpha."""
        return self.path.coordinates(sigma_ve)

    def model_time(self, sigma_ve: Array) -> Array:
        """The nearest whole time."""
        return np.round(self.path.model_time(sigma_ve))


@dataclass(frozen=True, slots=True)
class WholePart:
    """A path whose times are cut.

    Args:
        path: with fractional times.
    """

    path: Path

    def at(self, model_time: Array) -> tuple[Array, Array]:
        """(alpha, sigma) of model times."""
        return self.path.at(model_time)

    def coordinates(self, sigma_ve: Array) -> tuple[Array, Array]:
        """(alpha, sigma) of noise levels sigma / alpha."""
        return self.path.coordinates(sigma_ve)

    def model_time(self, sigma_ve: Array) -> Array:
        """The whole part of the time."""
        return whole_part(self.path.model_time(sigma_ve))


def whole_part(model_time: Array) -> Array:
    """Times without their fraction; one that is whole but for its rounding stays."""
    return np.floor(np.round(model_time, TIES))
