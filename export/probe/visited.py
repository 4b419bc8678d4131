"""Where a probed sampler's steps lie, as the schedule of a request."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules import NoiseSchedule
from denoisert.runtime.sampling.schedules.between import ToldPath

SLACK = 1e-6  # schedulers keep their levels in float32

Place = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Visited:
    """The points of a probed sampler and no others: the schedule that goes with it.

    Args:
        places: (N,) of (alpha, sigma, model time), where each step starts, in the coordinates of
            the network; behind them comes the clean latent.
    """

    places: tuple[Place, ...]

    @property
    def steps(self) -> int:
        """The only number of steps that it has."""
        return len(self.places)

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of the probe.

        Raises:
            InvalidInput: another number of steps, points that are not on the schedule's path, or
                noise that does not fall, as in an inversion.
        """
        if steps != self.steps:
            raise InvalidInput(
                f"the sampler was probed at {self.steps} steps, and {steps!r} were asked for. Ask "
                f"for {self.steps}, or probe it again with {steps!r}."
            )
        alpha, sigma, times = np.array([*self.places, (1.0, 0.0, np.nan)]).T
        grid = Grid(alpha, sigma, times, float(sigma[0]), path=ToldPath(schedule))
        noisy = alpha > 0.0
        on_path = schedule.coordinates(sigma[noisy] / alpha[noisy])
        for step, pair in enumerate(zip(*on_path, strict=True), steps + 1 - int(noisy.sum())):
            if not np.allclose(pair, (alpha[step], sigma[step]), rtol=SLACK, atol=SLACK):
                raise InvalidInput(
                    f"the sampler was probed on another path: step {step} starts at (alpha, sigma) "
                    f"= ({alpha[step]:g}, {sigma[step]:g}), where {schedule} has ({pair[0]:g}, "
                    f"{pair[1]:g}). Probe it for this model, for a function with "
                    "schedule=card.training.schedule."
                )
        return grid
