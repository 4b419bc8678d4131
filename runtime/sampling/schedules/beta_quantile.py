"""The spacing by quantiles of a beta distribution: dense at both ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.schedules.incomplete_beta import quantile
from denoisert.runtime.sampling.schedules.levels import LevelSpacing
from denoisert.runtime.sampling.schedules.schedule import Array
from denoisert.runtime.sampling.schedules.spacing import Final, Measure


@dataclass(frozen=True, slots=True)
@checked
class BetaQuantile(LevelSpacing):
    """sigma_ve_i = sigma_min + q_i (sigma_max - sigma_min), q_i the quantile of 1 - i / (N - 1).

    As the paper has it the quantiles place times: Measure.TIME (ComfyUI's `beta` is then
    DropLast(BetaQuantile(measure=Measure.TIME))). `use_beta_sigmas` of diffusers places levels.

    Args:
        a: first number of the distribution, above 0; below 1 it is dense at the data end.
        b: second number, above 0; below 1 it is dense at the noise end.
        sigma_min: least level visited, sigma / alpha; None takes that of the schedule's last time.
        sigma_max: first level visited; None takes that of the schedule's first time.
        final: the last point.
        measure: what is placed, levels or times.

    Raises:
        InvalidInput: a or b not positive, or levels that do not fall.

    Source: Lee et al. 2024, arXiv 2407.12173.
    """

    a: float = 0.6
    b: float = 0.6
    sigma_min: float | None = None
    sigma_max: float | None = None
    final: Final = Final.ZERO
    measure: Measure = Measure.LEVEL

    def __post_init__(self) -> None:
        self.check()

    def shape(self) -> tuple[float, ...]:
        """A and b."""
        return self.a, self.b

    def fits(self, high: float, low: float) -> bool:
        """Time 0 and negative labels are places like others."""
        is_placed = low >= 0.0 or self.measure is Measure.TIME
        return is_placed and -math.inf < low < high < math.inf

    def levels(self, high: float, low: float, count: int) -> Array:
        """Quantiles, scaled."""
        return low + quantile(1.0 - np.linspace(0.0, 1.0, count), self.a, self.b) * (high - low)
