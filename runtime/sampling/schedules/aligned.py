"""Align Your Steps: published levels, found by an optimiser, and their interpolation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules.pinned import noisiest
from denoisert.runtime.sampling.schedules.schedule import Array, NoiseSchedule
from denoisert.runtime.sampling.schedules.spacing import (
    CONTINUOUS_STEPS,
    Final,
    check_steps,
    close,
    points,
)

CLOSE = 0.01


class Published(Enum):
    """Which published list: for pictures of 512 px, of 1024 px, or for clips of a few seconds."""

    PICTURE_512 = "picture_512"
    PICTURE_1024 = "picture_1024"
    CLIP = "clip"

    def __repr__(self) -> str:
        return f"Published.{self.name}"


# fmt: off
LEVELS: Mapping[Published, tuple[float, ...]] = MappingProxyType({
    Published.PICTURE_512: (
        14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092,
        0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582,
    ),
    Published.PICTURE_1024: (
        14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141,
        0.5550693289, 0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582,
    ),
    Published.CLIP: (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
})
# fmt: on


@dataclass(frozen=True, slots=True)
@checked
class AlignYourSteps:
    """The published levels of 10 steps; for other N, log sigma_ve linear in the index.

    They belong to one kind of network each, so they are refused on a schedule with another noise
    end. For one's own network `denoisert schedule optimise` finds `Levels`.

    Args:
        published: which list.
        final: the last point. Final.ZERO replaces the list's last level by 0, as its published code
            does; Final.SPACED keeps it.

    Source: Sabour, Fidler and Kreis 2024, arXiv 2404.14507, quick-start guide of its project page.
    """

    published: Published = Published.PICTURE_512
    final: Final = Final.ZERO

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: steps outside 1 .. 1000, or a schedule with another noise end.
        """
        check_steps(steps, CONTINUOUS_STEPS)
        levels = log_linear(np.array(LEVELS[self.published]), steps + 1)
        most = noisiest(schedule)
        if not abs(most / levels[0] - 1.0) <= CLOSE:
            raise InvalidInput(
                f"{self} starts at sigma / alpha = {levels[0]:g} and {schedule} at {most:g}: it "
                "was found for another kind of network. Use Karras(), or Levels() of your own."
            )
        times, coordinates = schedule.model_time(levels), schedule.coordinates(levels)
        if self.final is Final.SPACED:
            return points(schedule, coordinates, times)
        visited = coordinates[0][:-1], coordinates[1][:-1]
        return close(schedule, visited, times[:-1], self.final)


def log_linear(levels: Array, count: int) -> Array:
    """`count` levels between the same ends, log-linear in the index.

    Args:
        levels: (M,), above 0.
        count: at least 2.

    Returns:
        (count,); the levels themselves where count is M.
    """
    if count == len(levels):
        return levels
    index = np.linspace(0.0, 1.0, count)
    known = np.linspace(0.0, 1.0, len(levels))
    return np.exp(np.interp(index, known, [math.log(level) for level in levels]))
