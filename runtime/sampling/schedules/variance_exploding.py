"""Variance exploding schedules, alpha = 1: the clean latent stays as it is, noise is added to it.

The noise level is geometric in time and spans decades, so what networks are told of it differs.
A run starts from sigma times the noise, sigma being that of its first point.
"""

from __future__ import annotations

import math
from abc import ABC
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.schedules.schedule import Array

ROUNDING = 1e-9  # a time that was computed from sigma_max may lie this far outside


class Label(Enum):
    """What the network is told at noise level sigma.

    SIGMA: sigma. LOG: log(sigma). QUARTER_LOG: log(sigma) / 4. TIME: t of the geometric path, 0 at
    sigma_min and 1 at sigma_max.
    """

    SIGMA = "sigma"
    LOG = "log"
    QUARTER_LOG = "quarter_log"
    TIME = "time"

    def __repr__(self) -> str:
        return f"Label.{self.name}"


class VarianceExploding(ABC):
    """What schedules with alpha = 1 share: model times are labels of levels."""

    __slots__ = ()

    noise_gain: ClassVar[None] = None
    train_steps: ClassVar[None] = None
    sigma_min: float
    sigma_max: float
    label: Label

    @property
    def first(self) -> float:
        """The model time of sigma_max."""
        return float(self.model_time(np.array(self.sigma_max)))

    @property
    def last(self) -> float:
        """The model time of sigma_min."""
        return float(self.model_time(np.array(self.sigma_min)))

    def at(self, model_time: Array) -> tuple[Array, Array]:
        """(1, sigma) of model times.

        Raises:
            InvalidInput: a time outside sigma_min to sigma_max.
        """
        slack = ROUNDING * max(1.0, abs(self.first))
        if not np.all((model_time >= self.last - slack) & (model_time <= self.first + slack)):
            raise InvalidInput(
                f"model times {model_time} reach beyond the trained range, {self.last:g} to "
                f"{self.first:g}. Ask for times inside it."
            )
        return np.ones_like(model_time), self._sigma(model_time)

    def coordinates(self, sigma_ve: Array) -> tuple[Array, Array]:
        """(1, sigma_ve).

        Raises:
            InvalidInput: an infinite level, which has no place on this path.
        """
        if np.any(np.isinf(sigma_ve)):
            raise InvalidInput(
                f"{self} has no pure noise: alpha is 1 at every level. Start from a level of at "
                f"most {self.sigma_max:g}."
            )
        return np.ones_like(sigma_ve), np.asarray(sigma_ve)

    def model_time(self, sigma_ve: Array) -> Array:
        """The label of noise levels above 0."""
        if self.label is Label.SIGMA:
            return np.asarray(sigma_ve)
        logarithm = np.log(np.maximum(sigma_ve, 1e-300))
        if self.label is Label.TIME:
            return np.asarray((logarithm - math.log(self.sigma_min)) / self._decades)
        return np.asarray(logarithm / 4.0 if self.label is Label.QUARTER_LOG else logarithm)

    def told(self, model_time: Array) -> Array:
        """The label itself."""
        return model_time

    def spaced(self, t: Array) -> Array:
        """Labels of the levels sigma_min (sigma_max / sigma_min)^t."""
        return self.model_time(self.sigma_min * np.exp(self._decades * t))

    @property
    def _decades(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def _sigma(self, model_time: Array) -> Array:
        if self.label is Label.SIGMA:
            return np.asarray(model_time)
        if self.label is Label.TIME:
            return np.asarray(self.sigma_min * np.exp(self._decades * model_time))
        return np.exp(4.0 * model_time if self.label is Label.QUARTER_LOG else model_time)


def _check(schedule: VarianceExploding) -> None:
    low, high = schedule.sigma_min, schedule.sigma_max
    if not 0.0 < low < high < math.inf:
        raise InvalidInput(f"noise levels from {low} to {high} must be finite, above 0 and rising.")


@dataclass(frozen=True, slots=True)
@checked
class VE(VarianceExploding):
    """x = x0 + sigma eps with sigma = sigma_min (sigma_max / sigma_min)^t, t in [0, 1].

    Args:
        sigma_min: level of the data end, above 0.
        sigma_max: level of the noise end.
        label: what the network is told.

    Raises:
        InvalidInput: levels that do not rise.

    Source: Song et al. 2020, arXiv 2011.13456, section 3.4 and appendix C.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0
    label: Label = Label.SIGMA

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
@checked
class EDM(VarianceExploding):
    """x = x0 + sigma eps, the network told log(sigma) / 4.

    The latent is x itself. The preconditioning (c_in, c_skip, c_out) belongs to the network's
    graph, so that it takes x and answers D: parametrisation x0. Without it the raw network takes
    c_in x = a y0 + b eps, y0 = x0 / sigma_data, (a, b) = (sigma_data, sigma) / sqrt(sigma_data^2 +
    sigma^2), and answers b y0 - a eps, which is -v on a variance preserving path of y0.

    Args:
        sigma_min: level of the data end, above 0.
        sigma_max: level of the noise end.
        label: what the network is told.

    Raises:
        InvalidInput: levels that do not rise.

    Source: Karras et al. 2022, arXiv 2206.00364, table 1.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    label: Label = Label.QUARTER_LOG

    def __post_init__(self) -> None:
        _check(self)
