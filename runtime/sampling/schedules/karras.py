"""The spacing of Karras et al., even in a root of the noise level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.schedules.levels import LevelSpacing
from denoisert.runtime.sampling.schedules.schedule import Array
from denoisert.runtime.sampling.schedules.spacing import Final, Measure


@dataclass(frozen=True, slots=True)
@checked
class Karras(LevelSpacing):
    """sigma_ve_i = (high + i / (N - 1) (low - high))^rho, i = 0 .. N - 1, then the final point.

    high = sigma_max^(1/rho), low = sigma_min^(1/rho).

    Args:
        rho: above 0; larger puts more steps near the data.
        sigma_min: least level visited, sigma / alpha; None takes that of the schedule's last time.
        sigma_max: first level visited; None takes that of the schedule's first time.
        final: the last point.
        measure: what is placed, levels or times.

    Raises:
        InvalidInput: rho not positive, or levels that do not fall.

    Source: Karras et al. 2022, arXiv 2206.00364, eq. 5.
    """

    rho: float = 7.0
    sigma_min: float | None = None
    sigma_max: float | None = None
    final: Final = Final.ZERO
    measure: Measure = Measure.LEVEL

    def __post_init__(self) -> None:
        self.check()

    def shape(self) -> tuple[float, ...]:
        """Rho."""
        return (self.rho,)

    def levels(self, high: float, low: float, count: int) -> Array:
        """Even in the root of degree rho.

        Raises:
            InvalidInput: a rho so small that no number holds the root.
        """
        ramp = np.linspace(0.0, 1.0, count)
        try:
            first, last = high ** (1.0 / self.rho), low ** (1.0 / self.rho)
        except OverflowError as error:
            raise InvalidInput(
                f"{self} from {high:g}: its root of degree {self.rho:g} is larger than any number. "
                "Use a rho of 1 or more."
            ) from error
        return np.asarray((first + ramp * (last - first)) ** self.rho)
