"""What all DPM solvers share: a step is exact but for how the estimate changes along it.

With half the log SNR as time, h = half_logsnr_s - half_logsnr_t, the flow is linear except for one
estimate. Take that to be m(y) = m_0 + y m' + y^2 m'', y in [0, 1] the share of the step done:

    D   x_s = (sigma_s / sigma_t) q^eta x_t + alpha_s (w_0 m_0 + w_1 m' + w_2 m'')
              + sigma_s sqrt(1 - q^(2 eta)) xi,                    z = (1 + eta) h, q = exp(-h)
    E   x_s = (alpha_s / alpha_t) x_t + (1 + eta) sigma_s (w_0 m_0 + w_1 m' + w_2 m'')
              + sqrt(eta) sigma_s sqrt(q^-2 - 1) xi,               z = -h

    w_0 = 1 - exp(-z),  w_1 = 1 - w_0 / z,  w_2 = 1/2 - w_1 / z

The two lines are one under alpha <-> sigma. eta = 0 is the probability flow, eta = 1 the reverse
SDE. w_2 is the weight of a second derivative; a parabola's y^2 has 2 w_2. q = alpha_t sigma_s /
(alpha_s sigma_t) is finite at both ends of a path, and so is every row that is written here.

Source: Lu et al. 2022, arXiv 2206.00927 (E), arXiv 2211.01095 (D, and both with noise).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.basis import Basis, Vector
from denoisert.runtime.sampling.compat import Compat
from denoisert.runtime.sampling.grid import Point

SERIES = 1.0  # below it 1 - w_0 / z cancels, and 20 terms of the series are exact to rounding
TERMS = 20


class Estimate(Enum):
    """Which of the two estimates a solver follows: D (CLEAN, DPM-Solver++) or E (NOISE)."""

    CLEAN = "clean"
    NOISE = "noise"

    def __repr__(self) -> str:
        return f"Estimate.{self.name}"


class Form(Enum):
    """How a slope taken from two estimates is weighed: by w_0 / 2 (MIDPOINT) or w_1 (HEUN).

    They differ by terms beyond the order. HEUN is the exact integral; MIDPOINT is what the papers'
    algorithms of order 2 write. In a step of three evaluations HEUN adds the second derivative.
    """

    MIDPOINT = "midpoint"
    HEUN = "heun"

    def __repr__(self) -> str:
        return f"Form.{self.name}"


class Ending(Enum):
    """How a run ends where its end keeps noise.

    FULL: like the steps before. LOWERED: in lower order. A step into sigma = 0 has order 1 always.
    """

    FULL = "full"
    LOWERED = "lowered"

    def __repr__(self) -> str:
        return f"Ending.{self.name}"


def weights(z: float) -> tuple[float, float, float]:
    """(w_0, w_1, w_2) of a finite z of either sign."""
    if abs(z) >= SERIES:
        first = -math.expm1(-z)
        second = 1.0 - first / z
        return first, second, 0.5 - second / z
    term, third = 1.0 / 6.0, 0.0
    for k in range(TERMS):
        third += term
        term *= -z / (k + 4)
    second = 0.5 - z * third
    return z * (1.0 - z * second), z * second, z * third


@dataclass(frozen=True, slots=True)
class Drift:
    """The exact part of a step.

    Args:
        estimate: D or E.
        eta: 0 the probability flow, 1 the reverse SDE.
        noise_scale: factor of the fresh noise alone; 1 is the right variance.
        compat: DIFFUSERS takes w_2 - 1 for w_2 where there is noise, as diffusers 0.42.1 does.
    """

    estimate: Estimate
    eta: float = 0.0
    noise_scale: float = 1.0
    compat: Compat = Compat.PAPER

    def column(self, basis: Basis) -> Vector:
        """D or E of the stage."""
        return basis.denoised if self.estimate is Estimate.CLEAN else basis.noise

    def keep(self, now: Point, after: Point) -> tuple[float, float]:
        """Factors of x_t and of m_0 in x_s."""
        if self.estimate is Estimate.NOISE:
            kept = after.alpha / now.alpha
            return kept, (1.0 + self.eta) * (after.sigma - now.sigma * kept)
        kept = after.sigma / now.sigma
        if self.eta:
            kept *= shrinkage(now, after) ** self.eta
        return kept, after.alpha - now.alpha * kept

    def weights(self, now: Point, after: Point) -> tuple[float, float, float]:
        """Factors of m_0, m' and m'' in x_s, both points with signal and noise."""
        h = length(now, after)
        if self.estimate is Estimate.NOISE:
            scale, z = (1.0 + self.eta) * after.sigma, -h
        else:
            scale, z = after.alpha, (1.0 + self.eta) * h
        _, second, third = weights(z)
        if self.eta and self.compat is Compat.DIFFUSERS:
            third -= 1.0
        return self.keep(now, after)[1], scale * second, scale * third

    def advance(self, now: Point, after: Point, x: Vector, estimate: Vector) -> Vector:
        """x_s without noise where the estimate does not change."""
        kept, gain = self.keep(now, after)
        return kept * x + gain * estimate

    def noise(self, basis: Basis, now: Point, after: Point) -> Vector:
        """The fresh noise of a step."""
        if not self.eta:
            return 0.0 * basis.one
        if self.estimate is Estimate.NOISE:
            ahead = after.alpha * now.sigma / now.alpha
            spread = math.sqrt(self.eta * (ahead - after.sigma) * (ahead + after.sigma))
        else:
            left = shrinkage(now, after) ** self.eta
            spread = after.sigma * math.sqrt((1.0 - left) * (1.0 + left))
        return self.noise_scale * spread * basis.draws[0]

    def first(self, basis: Basis, now: Point, after: Point) -> Vector:
        """x_s of order 1, R_0 being x_t; alpha_s D + sigma_s E where the estimate's form has none.

        The form on E has no limit out of alpha = 0, nor with noise into sigma = 0; that on D has
        none out of sigma = 0.
        """
        if self.estimate is Estimate.NOISE:
            is_plain = now.alpha == 0.0 or after.sigma == 0.0
        else:
            is_plain = now.sigma == 0.0
        if is_plain:
            return after.alpha * basis.denoised + after.sigma * basis.noise
        moved = self.advance(now, after, basis.registers[0], self.column(basis))
        return moved + self.noise(basis, now, after)


def shrinkage(now: Point, after: Point) -> float:
    """q = exp(-h), the ratio of sigma / alpha after a step to that before it."""
    return (now.alpha / after.alpha) * (after.sigma / now.sigma)


def is_end(point: Point) -> bool:
    """Whether a point has no signal or no noise, half its log SNR being infinite."""
    return point.alpha == 0.0 or point.sigma == 0.0


def check_noise(solver: object, eta: float, noise_scale: float, most: float = math.inf) -> None:
    """Refuse amounts of noise that make no sampler.

    Raises:
        InvalidInput: eta outside [0, most], or noise_scale negative; both must be finite.
    """
    if not (0.0 <= eta <= most and math.isfinite(eta)):
        raise InvalidInput(f"{solver}: eta {eta} must lie in 0 (deterministic) to {most:g}.")
    if not (0.0 <= noise_scale < math.inf):
        raise InvalidInput(f"{solver}: noise_scale {noise_scale} must be 0 or more; 1 is exact.")


def length(now: Point, after: Point) -> float:
    """h of a step; infinite out of alpha = 0 and into sigma = 0, or the other way round."""
    return after.half_logsnr - now.half_logsnr
