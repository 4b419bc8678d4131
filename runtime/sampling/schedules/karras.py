"""The spacing of Karras et al., even in a root of the noise level."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules.schedule import NoiseSchedule
from denoisert.runtime.sampling.schedules.spacing import (
    CONTINUOUS_STEPS,
    Final,
    check_steps,
    close,
)


@dataclass(frozen=True, slots=True)
class Karras:
    """sigma_ve_i = (high + i / (N - 1) (low - high))^rho, i = 0 .. N - 1, then the final point.

    high = sigma_max^(1/rho), low = sigma_min^(1/rho). The levels are exact; the network is told the
    time that the schedule finds for them, which is fractional. The grid itself is in network
    coordinates as always.

    Args:
        rho: above 0; larger puts more steps near the data.
        sigma_min: least level visited, sigma / alpha; None takes that of the schedule's last time.
        sigma_max: first level visited; None takes that of the schedule's first time.
        final: the last point.

    Raises:
        InvalidInput: rho not positive, or levels that do not fall.

    Source: Karras et al. 2022, arXiv 2206.00364, eq. 5.
    """

    rho: float = 7.0
    sigma_min: float | None = None
    sigma_max: float | None = None
    final: Final = Final.ZERO

    def __post_init__(self) -> None:
        given = [value for value in (self.rho, self.sigma_min, self.sigma_max) if value is not None]
        if not all(math.isfinite(value) and value > 0.0 for value in given):
            raise InvalidInput(f"{self}: rho and the noise levels must be finite and above 0.")

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: steps outside 1 .. 1000, or no falling finite levels to space between.
        """
        check_steps(steps, CONTINUOUS_STEPS)
        high, low = self._ends(schedule)
        ramp = np.linspace(0.0, 1.0, steps)
        root = 1.0 / self.rho
        levels = (high**root + ramp * (low**root - high**root)) ** self.rho
        return close(
            schedule, schedule.coordinates(levels), schedule.model_time(levels), self.final
        )

    def _ends(self, schedule: NoiseSchedule) -> tuple[float, float]:
        alpha, sigma = schedule.at(np.array([schedule.first, schedule.last]))
        found = [s / a if a > 0 else math.inf for a, s in zip(alpha, sigma, strict=True)]
        high = found[0] if self.sigma_max is None else self.sigma_max
        low = found[1] if self.sigma_min is None else self.sigma_min
        if not 0.0 < low < high < math.inf:
            raise InvalidInput(
                f"{self} on {schedule} would go from sigma / alpha = {high:g} to {low:g}; both "
                "must be finite, above 0 and falling. Give sigma_min and sigma_max, such as 0.002 "
                "and 80."
            )
        return high, low
