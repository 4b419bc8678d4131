"""Spacings even in the logarithm of the noise level, and in a power of that."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.schedules.levels import LevelSpacing
from denoisert.runtime.sampling.schedules.schedule import Array
from denoisert.runtime.sampling.schedules.spacing import Final, Measure


@dataclass(frozen=True, slots=True)
@checked
class Exponential(LevelSpacing):
    """sigma_ve_i = sigma_max (sigma_min / sigma_max)^(i / (N - 1)), i = 0 .. N - 1.

    Even in half_logsnr = -log(sigma_ve). Also called log-uniform, log-linear, "logSNR" in
    DPM-Solver (which runs on to the last level: Final.SPACED), `use_exponential_sigmas` and, with
    whole times, `use_lu_lambdas` in diffusers.

    Args:
        sigma_min: least level visited, sigma / alpha; None takes that of the schedule's last time.
        sigma_max: first level visited; None takes that of the schedule's first time.
        final: the last point.
        measure: what is placed, levels or times.

    Raises:
        InvalidInput: levels that do not fall.

    Source: Lu et al. 2022, arXiv 2206.00927, section 3.4.
    """

    sigma_min: float | None = None
    sigma_max: float | None = None
    final: Final = Final.ZERO
    measure: Measure = Measure.LEVEL

    def __post_init__(self) -> None:
        self.check()

    def levels(self, high: float, low: float, count: int) -> Array:
        """Even in the logarithm."""
        return np.exp(np.linspace(math.log(high), math.log(low), count))


@dataclass(frozen=True, slots=True)
@checked
class Polyexponential(LevelSpacing):
    """log sigma_ve_i = log sigma_min + (1 - i / (N - 1))^rho log(sigma_max / sigma_min).

    Args:
        rho: above 0; 1 is `Exponential`, larger puts more steps near the data.
        sigma_min: least level visited, sigma / alpha; None takes that of the schedule's last time.
        sigma_max: first level visited; None takes that of the schedule's first time.
        final: the last point.
        measure: what is placed, levels or times.

    Raises:
        InvalidInput: rho not positive, or levels that do not fall.

    Source: get_sigmas_polyexponential of k-diffusion.
    """

    rho: float = 1.0
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
        """Even in the root of degree rho of the logarithm above the least level."""
        ramp = np.linspace(1.0, 0.0, count) ** self.rho
        return np.exp(ramp * (math.log(high) - math.log(low)) + math.log(low))
