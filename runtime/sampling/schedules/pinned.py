"""Points that are written down: lists of model times, of noise levels, and kept train times."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules.schedule import NoiseSchedule
from denoisert.runtime.sampling.schedules.spacing import Final, points, visit

SLACK = 1e-3  # a published list is rounded: its first level may exceed the schedule's by this share


@dataclass(frozen=True, slots=True)
@checked
class Timesteps:
    """The network is asked at these model times and no others.

    Args:
        times: (N,) model times, falling in noise; by default one, the last of 1000.
        final: the last point.

    Raises:
        InvalidInput: an empty list, or numbers that are not finite.

    Source: `timesteps=` of diffusers' schedulers; the pinned times of distilled networks.
    """

    times: tuple[float, ...] = (999.0,)
    final: Final = Final.ZERO

    def __post_init__(self) -> None:
        if not self.times or not all(map(math.isfinite, self.times)):
            raise InvalidInput(f"{self} must have at least one time, all finite.")

    @property
    def steps(self) -> int:
        """The only number of steps that it has."""
        return len(self.times)

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: another number of steps than times, or times outside the schedule.
        """
        _refuse_other(self, steps)
        return visit(schedule, np.array(self.times), self.final)


@dataclass(frozen=True, slots=True)
@checked
class Levels:
    """The points lie at these noise levels.

    Args:
        levels: (N + 1,) sigma / alpha, finite and falling; the last is the final point and may be
            0. By default one step. A flow's pure noise is no level: pin its times.

    Raises:
        InvalidInput: fewer than two levels, or levels that are infinite, negative or do not fall.

    Source: `sigmas=` of diffusers' EulerDiscreteScheduler.
    """

    levels: tuple[float, ...] = (80.0, 0.0)

    def __post_init__(self) -> None:
        pairs = zip(self.levels, self.levels[1:], strict=False)
        are_falling = all(math.inf > high > low >= 0.0 for high, low in pairs)
        if len(self.levels) < 2 or not are_falling:
            raise InvalidInput(
                f"{self} must have at least two noise levels, finite and falling, the last of them "
                "0 or more."
            )

    @property
    def steps(self) -> int:
        """The only number of steps that it has."""
        return len(self.levels) - 1

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: another number of steps than intervals, or more noise than the schedule
                has.
        """
        _refuse_other(self, steps)
        most = noisiest(schedule)
        if self.levels[0] > most * (1.0 + SLACK):
            raise InvalidInput(
                f"the first level {self.levels[0]:g} is above {most:g}, the most noise that "
                f"{schedule} has. Start at most there."
            )
        levels = np.array(self.levels)
        times = np.append(schedule.model_time(levels[:-1]), np.nan)
        if levels[-1] > 0.0:
            times[-1] = schedule.model_time(levels[-1:])[0]
        return points(schedule, schedule.coordinates(levels), times)


def noisiest(schedule: NoiseSchedule) -> float:
    """sigma / alpha of the noise end, infinite at pure noise."""
    alpha, sigma = schedule.at(np.array([schedule.first]))
    return float(sigma[0] / alpha[0]) if alpha[0] > 0 else math.inf


def _refuse_other(spacing: Timesteps | Levels, steps: int) -> None:
    if steps != spacing.steps:
        raise InvalidInput(
            f"{spacing} pins {spacing.steps} steps, and {steps!r} were asked for. Ask for "
            f"{spacing.steps} steps, or take a spacing that has any number."
        )
