"""Empirical model statistics: three arrays per noise level that describe one network on its data.

With lambda = log(alpha / sigma) and f = (sigma E - l x) / alpha the probability flow reads

    d(x / alpha) / dlambda = -l x / alpha - f,     df / dlambda = s f + b + (what is left)

for any l, s and b, elementwise. They are chosen so that little is left: l is the diagonal of sigma
dE/dx averaged over the data, s and b are the regression of df/dlambda on f. l = 1, s = b = 0 gives
f = -D, the clean estimate; l = 0 gives the noise estimate.

Source: Zheng et al. 2023, arXiv 2310.13268 (the three statistics and what they minimise).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput

Array = NDArray[np.float64]

NEARLY = 1e-9  # of the distance between knots: what is nearer than this is the same level


class Stretch(NamedTuple):
    """Integrals from an origin along a stretch of levels, at its knots.

    Args:
        x: lambda - lambda_origin, (knots,).
        linear: int l, (knots, elements).
        scale: int s.
        bias: int exp(-int s) b.
    """

    x: Array
    linear: Array
    scale: Array
    bias: Array

    def integral(self, values: Array) -> Array:
        """Over the whole stretch, by trapezoids; (knots, elements) -> (elements,)."""
        return np.asarray(_cumulative(self.x, values)[-1])


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """l, s and b on rising half_logsnr, linear between them.

    Args:
        half_logsnr: (M + 1,), rising.
        linear: l, (M + 1, elements).
        scale: s.
        bias: b.

    Raises:
        InvalidInput: shapes that do not agree, or levels that do not rise.
    """

    half_logsnr: Array
    linear: Array
    scale: Array
    bias: Array

    def __post_init__(self) -> None:
        shapes = {array.shape for array in (self.linear, self.scale, self.bias)}
        (shape,) = shapes if len(shapes) == 1 else ((),)
        is_rising = len(self.half_logsnr) > 1 and bool(np.all(np.diff(self.half_logsnr) > 0))
        if len(shape) != 2 or shape[0] != len(self.half_logsnr) or not is_rising:
            raise InvalidInput(
                "statistics need rising levels (M + 1,) and three arrays (M + 1, elements), found "
                f"{self.half_logsnr.shape} and {sorted(shapes)}."
            )

    @classmethod
    def of_clean_estimate(cls, half_logsnr: Array, elements: int) -> Statistics:
        """Those with which DPM-Solver-v3 is DPM-Solver++: l = 1, s = b = 0."""
        ones = np.ones((len(half_logsnr), elements))
        return cls(np.asarray(half_logsnr, np.float64), ones, 0.0 * ones, 0.0 * ones)

    def at(self, level: float) -> tuple[Array, Array, Array]:
        """(l, s, b) at one half_logsnr.

        Raises:
            InvalidInput: a level outside the knots.
        """
        knots = self.half_logsnr
        margin = NEARLY * float(knots[-1] - knots[0])
        if not knots[0] - margin <= level <= knots[-1] + margin:
            raise InvalidInput(
                f"half_logsnr {level:g} is outside the statistics, which cover {knots[0]:g} to "
                f"{knots[-1]:g}. Use a grid inside them, or statistics of more levels."
            )
        low = int(np.clip(np.searchsorted(knots, level, side="right") - 1, 0, len(knots) - 2))
        share = float(np.clip((level - knots[low]) / (knots[low + 1] - knots[low]), 0.0, 1.0))
        one, two, three = (
            (1.0 - share) * array[low] + share * array[low + 1]
            for array in (self.linear, self.scale, self.bias)
        )
        return one, two, three

    def between(self, origin: float, other: float) -> Stretch:
        """Integrals from origin to other, whichever is higher, in the order of the levels."""
        low, high = min(origin, other), max(origin, other)
        margin = NEARLY * float(self.half_logsnr[1] - self.half_logsnr[0])
        inside = (self.half_logsnr > low + margin) & (self.half_logsnr < high - margin)
        ends = self.at(low), self.at(high)
        linear, scale, bias = (
            np.concatenate([[ends[0][i]], array[inside], [ends[1][i]]])
            for i, array in enumerate((self.linear, self.scale, self.bias))
        )
        x = np.concatenate([[low], self.half_logsnr[inside], [high]]) - origin
        start = 0 if origin <= other else -1
        summed = _from(start, _cumulative(x, scale))
        return Stretch(
            x,
            _from(start, _cumulative(x, linear)),
            summed,
            _from(start, _cumulative(x, np.exp(-summed) * bias)),
        )


def _cumulative(x: Array, values: Array) -> Array:
    """Trapezoids from the first point on."""
    pieces = 0.5 * np.diff(x)[:, None] * (values[1:] + values[:-1])
    return np.asarray(np.concatenate([np.zeros_like(values[:1]), np.cumsum(pieces, axis=0)]))


def _from(start: int, values: Array) -> Array:
    return np.asarray(values - values[start])
