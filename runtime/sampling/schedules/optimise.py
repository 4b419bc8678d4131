"""Levels that suit a network: the offline optimiser of Align Your Steps.

Everything follows from one curve, the denoising error W(t) = E |x0 - D(x0 + t eps, t)|^2 per
element. For an exact denoiser D_s is the mean of D_t given the noisier x_s, so that
E |D_t - D_s|^2 = W(s) - W(t): the published objective needs no pairs of levels, a network is asked
once for each level of the curve, and then every schedule's cost is a sum of closed forms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.schedules.pinned import Levels
from denoisert.runtime.sampling.schedules.schedule import Array
from denoisert.runtime.sampling.schedules.spacing import Final, check_steps

MOST_STEPS = 100
GRID = 6  # levels for each step that a path chooses from first
CHOICES, ROUNDS, SHRINK = 15, 16, 0.6  # and then, ever finer, around the best path so far
LEAST = 1e-300  # an error of 0 has no logarithm
FINE = 4096  # levels at which the integral is known

Denoise = Callable[[Array, float], NDArray[np.floating]]


class Objective(Enum):
    """What is made small.

    KLUB: the published upper bound of the Kullback-Leibler divergence that first-order steps of the
    reverse SDE cause, sum of int_r^s (W(s) - W(t)) t^-3 dt over steps from level s to r. VARIANCE:
    what first-order steps of the probability flow lose of the variance, sum of
    -log(1 - (1 - r / s)^2 W(s) / (P + r^2)) / 2, P that of the data. On Gaussian data of standard
    deviation c, t = c tan(angle), the first is least where log sin(angle) is even and the second
    where the angle is even. On known data 10 first-order steps with the second err 0.5 to 0.7 times
    as much as with Karras' levels; the first puts many steps where little is left to say.
    """

    KLUB = "klub"
    VARIANCE = "variance"

    def __repr__(self) -> str:
        return f"Objective.{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class ErrorCurve:
    """The denoising error of a network over the noise levels.

    Args:
        levels: (M,) sigma / alpha, rising, above 0; the ends are those of the schedules.
        error: (M,) mean square of x0 - D per element, at least 0.
        variance: of the data, per element, above 0.

    Raises:
        InvalidInput: fewer than 2 levels, or numbers that are not such.
    """

    levels: Array
    error: Array
    variance: float

    def __post_init__(self) -> None:
        are_levels = self.levels.ndim == 1 and len(self.levels) >= 2 and self.levels[0] > 0.0
        if not (are_levels and np.all(np.diff(self.levels) > 0) and self.levels[-1] < np.inf):
            raise InvalidInput(f"levels {self.levels}: give at least two, rising, above 0, finite.")
        is_shaped = self.error.shape == self.levels.shape
        if not (is_shaped and np.all((self.error >= 0) & (self.error < np.inf))):
            raise InvalidInput(
                f"a denoising error of {len(self.error)} values from {np.min(self.error):g} to "
                f"{np.max(self.error):g}; give one, finite and at least 0, for each of "
                f"{len(self.levels)} levels."
            )
        if not 0.0 < self.variance < math.inf:
            raise InvalidInput(f"data of variance {self.variance}; give some above 0.")

    def at(self, levels: Array) -> Array:
        """W, log-linear between the measured levels and never falling with the noise."""
        rising = np.maximum(np.maximum.accumulate(self.error), LEAST)
        found = np.interp(np.log(levels), np.log(self.levels), np.log(rising))
        return np.exp(found)


def measure(
    denoise: Denoise,
    clean: Array,
    levels: Array,
    seed: int,
) -> ErrorCurve:
    """The error curve of a denoiser, by Monte Carlo.

    Every level gets the same noise and its negative, so that the curve is smooth.

    Args:
        denoise: D of x = x0 + level eps, (samples, elements), at one level.
        clean: (samples, elements) of the data, at least 2 samples.
        levels: (M,) rising, see `ErrorCurve`.
        seed: of the noise.

    Returns:
        The curve.

    Raises:
        InvalidInput: a single sample, or a curve that is none.
    """
    if clean.ndim != 2 or len(clean) < 2:
        raise InvalidInput(f"clean latents of shape {clean.shape}; give (samples, elements).")
    noise = np.random.default_rng(seed).standard_normal(clean.shape)
    error = [
        np.mean(
            [
                np.mean(np.square(clean - denoise(clean + sign * level * noise, float(level))))
                for sign in (1.0, -1.0)
            ]
        )
        for level in levels
    ]
    return ErrorCurve(np.asarray(levels), np.array(error), float(clean.var(axis=0, ddof=1).mean()))


def cost(curve: ErrorCurve, levels: Array, objective: Objective) -> float:
    """The objective of a schedule.

    Args:
        curve: of the network.
        levels: (N + 1,) falling, inside the curve's.
        objective: which.
    """
    return float(np.sum(_Costs.of(curve, objective).steps(levels[:-1], levels[1:])))


def optimise(
    curve: ErrorCurve,
    steps: int,
    objective: Objective = Objective.VARIANCE,
    final: Final = Final.ZERO,
) -> Levels:
    """The levels of least cost between the curve's ends.

    The cost is a sum over steps, so dynamic programming finds the best path through a grid of
    levels, whatever the number of steps, then through ever finer ones around it. (The published
    optimiser is coordinate descent from 10 steps to 20 and 40.)

    Args:
        curve: of the network.
        steps: N, 1 to 100.
        objective: what is made small.
        final: Final.ZERO replaces the last level by 0, as the published schedules are used;
            Final.SPACED keeps it.

    Returns:
        N + 1 levels.

    Raises:
        InvalidInput: steps outside their range, or Final.LAST, which is the schedule's to know.

    Source: Sabour, Fidler and Kreis 2024, arXiv 2404.14507.
    """
    check_steps(steps, MOST_STEPS)
    if final is Final.LAST:
        raise InvalidInput("levels end at 0 or at the curve's least: Final.ZERO or Final.SPACED.")
    costs = _Costs.of(curve, objective)
    places = _best_path(costs, _everywhere(costs, steps))
    reach = (places[0] - places[-1]) / (GRID * steps)
    for _ in range(ROUNDS):
        near = places[:, None] + reach * np.linspace(-2.0, 2.0, CHOICES)
        near[[0, -1]] = places[[0, -1], None]
        places = _best_path(costs, near)
        reach *= SHRINK
    inner = [math.exp(place) for place in places[1:-1]]
    last = 0.0 if final is Final.ZERO else float(curve.levels[0])
    return Levels((float(curve.levels[-1]), *inner, last))


def _everywhere(costs: _Costs, steps: int) -> Array:
    """Candidates for every point: all levels of a grid, and for the ends themselves."""
    high, low = costs.places[-1], costs.places[0]
    everywhere = np.tile(np.linspace(high, low, GRID * steps + 1), (steps + 1, 1))
    everywhere[0], everywhere[-1] = high, low
    return everywhere


def _best_path(costs: _Costs, candidates: Array) -> Array:
    """The cheapest falling path that takes one of its candidates at every point.

    Args:
        costs: of single steps.
        candidates: (N + 1, choices), logarithms of levels.

    Returns:
        (N + 1,) logarithms.
    """
    total, choices = np.zeros(candidates.shape[1]), list[NDArray[np.intp]]()
    for high, low in pairwise(candidates):
        with np.errstate(invalid="ignore", divide="ignore"):
            price = costs.steps(np.exp(high)[:, None], np.exp(low)[None, :])
        price[high[:, None] <= low[None, :]] = np.inf
        sums = total[:, None] + price
        choices.append(sums.argmin(axis=0))
        total = sums.min(axis=0)
    path = [int(total.argmin())]
    for choice in reversed(choices):
        path.append(int(choice[path[-1]]))
    return np.asarray(candidates[np.arange(len(path)), path[::-1]])


@dataclass(frozen=True, slots=True, eq=False)
class _Costs:
    """A curve, and what the steps between its levels cost.

    Args:
        curve: of the network.
        objective: what is summed.
        places: (FINE,) logarithms of levels.
        integral: (FINE,) int W t^-3 dt up to there.
    """

    curve: ErrorCurve
    objective: Objective
    places: Array
    integral: Array

    @classmethod
    def of(cls, curve: ErrorCurve, objective: Objective) -> _Costs:
        ends = np.log(curve.levels[[0, -1]])
        places = np.linspace(ends[0], ends[1], FINE)
        levels = np.exp(places)
        slope = curve.at(levels) / levels**2  # of the integral over log t
        parts = 0.5 * (slope[1:] + slope[:-1]) * np.diff(places)
        return cls(curve, objective, places, np.append(0.0, np.cumsum(parts)))

    def steps(self, high: Array, low: Array) -> Array:
        """Cost of steps from levels `high` down to `low`."""
        error = self.curve.at(high)
        if self.objective is Objective.VARIANCE:
            lost = np.square(1.0 - low / high) * error / (self.curve.variance + low**2)
            return np.asarray(-0.5 * np.log1p(-np.minimum(lost, 1.0 - 1e-12)))
        above, below = (np.interp(np.log(end), self.places, self.integral) for end in (high, low))
        return np.asarray(0.5 * error * (low**-2.0 - high**-2.0) - (above - below))
