"""What spacings of noise levels share: where they begin and end, and what they place."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules.schedule import Array, NoiseSchedule
from denoisert.runtime.sampling.schedules.spacing import (
    CONTINUOUS_STEPS,
    Final,
    Measure,
    check_steps,
    close,
    points,
    visit,
)

TIES = 9  # decimals to which a time is taken first, so that noise does not decide what a half is


class LevelSpacing(ABC):
    """Levels from sigma_max down to sigma_min by a formula, then the final point.

    The levels are exact; the network is told the time that the schedule finds for them, which is
    fractional. Under Measure.TIME the formula places model times instead, and sigma_min and
    sigma_max are model times. The grid itself is in network coordinates as always.
    """

    __slots__ = ()

    sigma_min: float | None
    sigma_max: float | None
    final: Final
    measure: Measure

    @abstractmethod
    def levels(self, high: float, low: float, count: int) -> Array:
        """(count,) values from high down to low; high alone where count is 1."""

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: steps outside 1 .. 1000, or no falling finite levels to space between.
        """
        check_steps(steps, CONTINUOUS_STEPS)
        high, low = self._ends(schedule)
        values = self.levels(high, low, steps + 1 if self.final is Final.SPACED else steps)
        if self.measure is Measure.TIME:
            values[0] = high  # a power of a root may round to a time beyond the trained ones
            times = values if schedule.train_steps is None else np.round(np.round(values, TIES))
            if self.final is not Final.SPACED:
                return visit(schedule, times, self.final)
            return points(schedule, schedule.at(times), times)
        times, coordinates = schedule.model_time(values), schedule.coordinates(values)
        if self.final is Final.SPACED:
            return points(schedule, coordinates, times)
        return close(schedule, coordinates, times, self.final)

    def check(self) -> None:
        """Refuse numbers that give no levels.

        Raises:
            InvalidInput: a field that is not finite and above 0.
        """
        given = [self.sigma_min, self.sigma_max, *self.shape()]
        if not all(math.isfinite(value) and value > 0.0 for value in given if value is not None):
            raise InvalidInput(
                f"{self}: its numbers and the noise levels must be finite and above 0."
            )

    def shape(self) -> tuple[float, ...]:
        """The numbers of the formula."""
        return ()

    def fits(self, high: float, low: float) -> bool:
        """Whether the formula leads from high to low."""
        return 0.0 < low < high < math.inf

    def _ends(self, schedule: NoiseSchedule) -> tuple[float, float]:
        times = np.array([schedule.first, schedule.last])
        if self.measure is Measure.TIME:
            if schedule.train_steps is None:
                times[1] = schedule.spaced(np.array([1.0 / CONTINUOUS_STEPS]))[0]
            found = [float(time) for time in times]
        else:
            alpha, sigma = schedule.at(times)
            found = [s / a if a > 0 else math.inf for a, s in zip(alpha, sigma, strict=True)]
        high = found[0] if self.sigma_max is None else self.sigma_max
        low = found[1] if self.sigma_min is None else self.sigma_min
        if not self.fits(high, low):
            is_time = self.measure is Measure.TIME
            name = "model times" if is_time else "sigma / alpha ="
            advice = "model times above 0" if is_time else "levels such as 0.002 and 80"
            raise InvalidInput(
                f"{self} on {schedule} would go from {name} {high:g} to {low:g}; both must be "
                f"finite, above 0 and falling. Give sigma_min and sigma_max, {advice}."
            )
        return high, low
