"""Exponential Adams methods: one estimate integrated exactly, a polynomial in half the log SNR.

With lambda = log(alpha / sigma) the probability flow is linear but for one estimate,

    d(x / sigma) / dlambda = exp(lambda) D        d(x / alpha) / dlambda = -exp(-lambda) E

so a step of length h from (alpha, sigma) to (alpha', sigma') is an integral over y in [0, 1],

    x' = (sigma'/sigma) exp(-tau^2 h) x + alpha' int z exp(-z (1 - y)) D dy + c xi,  z = (1+tau^2) h
    x' = (alpha'/alpha) x - (1 + tau^2) (alpha' sigma / alpha) int h exp(-h y) E dy + c xi

    c = sigma' sqrt(1 - exp(-2 tau^2 h))  and  c = tau sigma' sqrt(exp(2 h) - 1)

tau = 0 is the flow itself, tau = 1 the reverse SDE. Put the Lagrange polynomial of the estimates at
the last points for D or E: the integral becomes a sum of known weights. With the newest point at
the start of the step this is Adams-Bashforth (a predictor), with one more at its end Adams-Moulton
(a corrector). DEIS, RES, UniPC and SA-Solver are choices of estimate, points, tau and, for two
points, of how their slope is weighed.

Source: Zhang and Chen 2022, arXiv 2204.13902 (E); Xue et al. 2023, arXiv 2309.05019, and diffusers
0.42.1, SASolverScheduler (D with noise).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.basis import Vector
from denoisert.runtime.sampling.grid import Point
from denoisert.runtime.sampling.solvers.dpm import Estimate

# Above this z, exp(-z) is so small that integrating by parts loses nothing.
FORWARD = 30.0
TERMS = 120


class Slope(Enum):
    """Weight of the slope where a polynomial runs through two points.

    EXACT is the integral like all others; its leading part is B(h) / 2 with B = z (BH1) or
    B = 1 - exp(-z) (BH2), which keeps the order.
    """

    EXACT = "exact"
    BH1 = "bh1"
    BH2 = "bh2"

    def __repr__(self) -> str:
        return f"Slope.{self.name}"


class Update(NamedTuple):
    """x' = keep x + clean D + ahead P' + sum_i gains_i P_i + spread xi.

    Args:
        keep: factor of x.
        gains: of the estimate P, newest first.
        ahead: of the estimate at the step's end; 0 for a predictor.
        spread: of fresh noise.
        clean: of D where P is E and the step comes from alpha = 0.
    """

    keep: float
    gains: tuple[float, ...]
    ahead: float = 0.0
    spread: float = 0.0
    clean: float = 0.0


def moments(z: float, count: int) -> Vector:
    """int_0^1 z exp(-z y) y^k dy for k = 0 .. count - 1.

    Small z: a series of positive terms for the last k, then backwards by parts, which adds positive
    numbers only. Large z: forwards by parts. Both are exact to rounding.

    Args:
        z: more than 0, infinite allowed.
        count: how many.
    """
    found, fading = np.zeros(count), math.exp(-z)
    if z > FORWARD:
        found[0] = -math.expm1(-z)
        for k in range(1, count):
            found[k] = k / z * found[k - 1] - fading
        return found
    term = total = 1.0 / count
    for j in range(1, TERMS):
        term *= z / (count + j)
        total += term
    found[-1] = z * fading * total
    for k in range(count - 1, 0, -1):
        found[k - 1] = z * (found[k] + fading) / k
    return found


def reflected(about_start: Vector) -> Vector:
    """int_0^1 z exp(-z (1 - y)) y^k dy from the moments of exp(-z y): y becomes 1 - y."""
    return np.array(
        [
            sum(math.comb(k, j) * (-1) ** j * about_start[j] for j in range(k + 1))
            for k in range(len(about_start))
        ]
    )


def lagrange(
    others: Sequence[float], z: float, estimate: Estimate, slope: Slope = Slope.EXACT
) -> Vector:
    """Weights of estimates at y = 0 and at other positions: integrals of their polynomials.

    w_i = int_0^1 z exp(-z (1 - y)) l_i(y) dy for D, with exp(-z y) for E.

    Args:
        others: positions y, none of them 0; earlier points are below 0, the step's end is 1.
        z: decay over the step, more than 0; infinite with at most the step's end.
        estimate: D or E.
        slope: how two points are weighed.
    """
    is_data = estimate is Estimate.CLEAN
    known = moments(z, max(2, len(others) + 1))
    powers = reflected(known) if is_data else known
    if not others:
        return powers[:1]
    if len(others) > 1:
        matrix = np.vander([0.0, *others], increasing=True).T
        return np.asarray(np.linalg.solve(matrix, powers), np.float64)
    mean = float(powers[1])
    if slope is Slope.BH2:
        mean = float(powers[0]) / 2.0
    if slope is Slope.BH1:
        mean = z / 2.0 * (1.0 if is_data else math.exp(-z))
    weight = mean / others[0]
    return np.array([powers[0] - weight, weight])


@dataclass(frozen=True, slots=True)
class Span:
    """One step of a grid as an integral.

    Args:
        before: where it starts.
        after: where it ends.
        estimate: D or E.
        tau: 0 deterministic, 1 the reverse SDE.
        slope: how two points are weighed.
    """

    before: Point
    after: Point
    estimate: Estimate
    tau: float = 0.0
    slope: Slope = Slope.EXACT

    @property
    def length(self) -> float:
        """h; infinite out of alpha = 0 and into sigma = 0."""
        return self.after.half_logsnr - self.before.half_logsnr

    def predictor(self, earlier: Sequence[Point]) -> Update:
        """Adams-Bashforth over the start of the step and earlier points, newest first.

        A point with alpha = 0 is infinitely far away and says nothing; a step of infinite length
        has order 1.
        """
        if self._starts_in_noise:
            if self.tau:
                raise InvalidInput(
                    "noise is added in the step out of pure noise (alpha = 0), where the form on "
                    "the noise estimate has no limit. Integrate the data, or set tau to 0 there."
                )
            return Update(0.0, (self.after.sigma,), clean=self.after.alpha)
        return self._update(self._weights(self._positions(earlier)))

    def corrector(self, earlier: Sequence[Point]) -> Update | None:
        """Adams-Moulton: the same with the end of the step; None where it has no limit."""
        if self._starts_in_noise:
            return None
        now, ahead, *rest = self._weights([1.0, *self._positions(earlier)])
        return self._update(np.array([now, *rest]), ahead)

    def backward(self) -> Update | None:
        """The estimate at the step's end alone: backward Euler; None where it has no limit."""
        if self._starts_in_noise:
            return None
        found = self._update(self._weights([]))
        return found._replace(gains=(), ahead=found.gains[0])

    @property
    def _starts_in_noise(self) -> bool:
        return self.estimate is Estimate.NOISE and self.before.alpha == 0.0

    def _positions(self, earlier: Sequence[Point]) -> list[float]:
        """y of earlier points: 0 is the start of the step, 1 its end."""
        if math.isinf(self.length):
            return []
        here = self.before.half_logsnr
        return [(p.half_logsnr - here) / self.length for p in earlier if p.alpha > 0.0]

    def _weights(self, others: Sequence[float]) -> Vector:
        is_data = self.estimate is Estimate.CLEAN
        z = self.length * (1.0 + self.tau**2 if is_data else 1.0)
        return lagrange(others, z, self.estimate, self.slope)

    def _update(self, weights: Vector, ahead: float = 0.0) -> Update:
        before, after = self.before, self.after
        tau, length = self.tau, self.length
        ratio = after.sigma / before.sigma
        if self.estimate is Estimate.CLEAN:
            keep, scale = ratio * (math.exp(-(tau**2) * length) if tau else 1.0), after.alpha
            spread = after.sigma * math.sqrt(-math.expm1(-2.0 * tau**2 * length)) if tau else 0.0
        else:
            tau = tau if after.sigma else 0.0
            keep = after.alpha / before.alpha
            scale = -(1.0 + tau**2) * keep * before.sigma
            spread = tau * after.sigma * math.sqrt(math.expm1(2.0 * length)) if tau else 0.0
        gains = tuple(float(scale * weight) for weight in weights)
        return Update(keep, gains, float(scale * ahead), spread)
