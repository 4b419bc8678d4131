"""What a network was trained on: alpha and sigma of every time it can be asked at."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@runtime_checkable
class NoiseSchedule(Protocol):
    """The path x = alpha x0 + sigma eps in the network's own coordinates.

    A schedule is a frozen dataclass, so its fields are all there is to store. Three questions are
    separate on purpose: `coordinates` follows from the shape of the path alone, `model_time` from
    how it was trained, and `told` is what the network hears of that time, since some were trained
    to hear less than the coefficients need.
    """

    @property
    def noise_gain(self) -> float | None:
        """Standard deviation of the noise that a run starts from; None: sigma where it starts."""
        ...

    @property
    def train_steps(self) -> int | None:
        """How many times were trained, 0 .. train_steps - 1; None where time is continuous."""
        ...

    @property
    def first(self) -> float:
        """Model time of the noise end, where sampling starts."""
        ...

    @property
    def last(self) -> float:
        """Model time of the data end, the least noise that was trained."""
        ...

    def at(self, model_time: Array) -> tuple[Array, Array]:
        """(alpha, sigma) of model times."""
        ...

    def coordinates(self, sigma_ve: Array) -> tuple[Array, Array]:
        """(alpha, sigma) of noise levels sigma / alpha."""
        ...

    def model_time(self, sigma_ve: Array) -> Array:
        """Model times of noise levels sigma / alpha."""
        ...

    def told(self, model_time: Array) -> Array:
        """What the network is told at model times; coefficients take the times themselves."""
        ...

    def spaced(self, t: Array) -> Array:
        """Model times of t in [0, 1], 1 the noise end, shifted where the schedule has a shift."""
        ...
