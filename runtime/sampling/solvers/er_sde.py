"""ER-SDE: extended reverse-time SDE solvers, which choose how much noise is added where."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.basis import Vector
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Program, Rows
from denoisert.runtime.sampling.solvers.exponential_rows import check_order

Array = NDArray[np.float64]

SUM_POINTS = 100
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(64)


def _logarithmic(x: Array) -> Array:
    """log(x^-0.1 log10(1 + 100 x^1.5)), with its limits at 0 and infinity."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(np.log1p(100.0 * x**1.5) / math.log(10.0)) - 0.1 * np.log(x)
    return np.where(np.isfinite(found), found, -np.inf)


def _power(exponent: float) -> Callable[[Array], Array]:
    def log_of(x: Array) -> Array:
        with np.errstate(divide="ignore"):
            return exponent * np.log(x)

    return log_of


def _inverse(x: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log1p(np.exp(-1.0 / x) / 10.0))


class NoiseScale(Enum):
    """phi, the noise scale: noise is added where phi(x) / x falls with x = sigma / alpha.

    ODE x; SDE x^2 (the reverse SDE); SDE_1 x (exp(-1/x) + 10); SDE_2 x^1.5; SDE_3 x^2.5; SDE_4
    x^0.9 log10(1 + 100 x^1.5), up to x = 1022; SDE_5 x (exp(x^0.3) + 10).
    """

    ODE = "ode"
    SDE = "sde"
    SDE_1 = "sde_1"
    SDE_2 = "sde_2"
    SDE_3 = "sde_3"
    SDE_4 = "sde_4"
    SDE_5 = "sde_5"

    def __repr__(self) -> str:
        return f"NoiseScale.{self.name}"

    def log_share(self, x: Array) -> Array:
        """log(phi(x) / x) but for a constant; at 0 and at infinity finite or of known sign."""
        shares: dict[NoiseScale, Callable[[Array], Array]] = {
            NoiseScale.ODE: np.zeros_like,
            NoiseScale.SDE: _power(1.0),
            NoiseScale.SDE_1: _inverse,
            NoiseScale.SDE_2: _power(0.5),
            NoiseScale.SDE_3: _power(1.5),
            NoiseScale.SDE_4: _logarithmic,
            NoiseScale.SDE_5: lambda x: np.logaddexp(x**0.3, math.log(10.0)),
        }
        return shares[self](x)


class Quadrature(Enum):
    """How integrals over 1 / phi are taken: EXACT, or the published left sums of 100 points."""

    EXACT = "exact"
    SUM100 = "sum100"

    def __repr__(self) -> str:
        return f"Quadrature.{self.name}"


class _Past(NamedTuple):
    """Where the last estimates were made, x_i newest first, and their vectors."""

    levels: list[float]
    estimates: list[Vector]

    def slope(self, back: int) -> Vector:
        """d, the difference quotient of D over the levels back and back + 1."""
        return (self.estimates[back] - self.estimates[back + 1]) / (
            self.levels[back] - self.levels[back + 1]
        )


@dataclass(frozen=True, slots=True)
@checked
class ERSDE:
    """ER-SDE solver with `terms` Taylor terms: one evaluation per step.

    With k = sigma / alpha, phi the noise scale and r = phi(k_s) / phi(k_t),

    x_s = (alpha_s / alpha_t) r x_t + alpha_s (1 - r) D + alpha_s sqrt(k_s^2 - r^2 k_t^2) xi
          + alpha_s d  int_{k_s}^{k_t} (phi(k_s) / phi(k) - 1) dk
          + alpha_s dd int_{k_s}^{k_t} (phi(k_s) / phi(k) - 1) (k - k_t) dk

    d = (D - D') / (k_t - k_t'), dd = 2 (d - d') / (k_t - k_t'') over the last estimates. Variance
    preserving and exploding are one formula. One term with NoiseScale.ODE is DDIM(0), with SDE it
    is DDIM(1).

    Two and three terms have weak order 2: dd is taken at earlier points than the formula's, so the
    third term lowers the error and not its order. The first steps have fewer terms, and the step
    into sigma = 0 has one, without noise. With Quadrature.SUM100 the order falls to 1 on fine
    grids. The published code drops noise of variance k_s^2 - r^2 k_t^2 < 1e-6; this one does not.

    Args:
        terms: 1 to 3; also called the solver's order.
        noise: phi.
        quadrature: EXACT, or SUM100 to reproduce published samples.

    Raises:
        InvalidInput: terms outside 1 to 3.

    Source: Cui et al. 2023, arXiv 2309.06169; published code, ER_SDE_Solver.
    """

    evaluations_per_step: ClassVar[int] = 1

    terms: int = 3
    noise: NoiseScale = NoiseScale.SDE_5
    quadrature: Quadrature = Quadrature.EXACT

    def __post_init__(self) -> None:
        check_order("terms", self.terms, 3)

    @property
    def order(self) -> int:
        """The weak order: 1 with one term, 2 with two or three."""
        return min(self.terms, 2)

    def rows(self, grid: Grid) -> Rows:
        """One stage per step.

        Raises:
            InvalidInput: phi(k) / k rises somewhere towards the data, so noise would have a
                negative variance.
        """
        logs = self._log_shares(grid)
        program = Program(grid, min(self.terms, grid.steps))
        basis = program.basis
        latent, *history = basis.registers
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            ratio = after.sigma / now.sigma * math.exp(logs[step])
            update = ratio * latent + (after.alpha - ratio * now.alpha) * basis.denoised
            if logs[step] < 0.0 and after.sigma:
                spread = math.sqrt(-math.expm1(2.0 * logs[step]))
                update = update + after.sigma * spread * basis.draws[0]
            past = [basis.denoised, *history]
            levels = [grid[step - back].sigma_ve for back in range(min(self.terms, step + 1))]
            if after.sigma and len(levels) > 1:
                update = update + after.alpha * self._taylor(after, _Past(levels, past))
            program.stage(now, [update, *past[: len(history)]])
        return program.rows()

    def _log_shares(self, grid: Grid) -> list[float]:
        """log of (phi(k_s) / k_s) / (phi(k_t) / k_t) for every step, whose r is k_s / k_t of it."""
        levels = np.array([grid[i].sigma_ve for i in range(grid.steps + 1)])
        with np.errstate(invalid="ignore"):
            logs = np.diff(self.noise.log_share(levels))
        logs[levels[1:] == 0.0] = -np.inf
        wrong = np.flatnonzero(~(logs <= 0.0))
        if len(wrong):
            high, low = levels[wrong[0]], levels[wrong[0] + 1]
            raise InvalidInput(
                f"{self.noise} adds noise of negative variance between sigma / alpha = {high:g} "
                f"and {low:g}, where phi(x) / x rises towards the data. Start lower or use "
                "another noise scale, such as NoiseScale.SDE_5."
            )
        return [float(log) for log in logs]

    def _taylor(self, after: Point, past: _Past) -> Vector:
        """The terms in d and dd; those of an estimate made at pure noise vanish."""
        if math.isinf(past.levels[0]) or math.isinf(past.levels[1]):
            return np.zeros_like(past.estimates[0])
        first, second = self._integrals(past.levels[0], after.sigma_ve)
        found = first * past.slope(0)
        if len(past.levels) > 2 and math.isfinite(past.levels[2]):
            bend = 2.0 * (past.slope(0) - past.slope(1)) / (past.levels[0] - past.levels[2])
            found = found + second * bend
        return found

    def _integrals(self, high: float, low: float) -> tuple[float, float]:
        """The two integrals from low to high; EXACT in log k, where they are smooth."""
        if self.quadrature is Quadrature.SUM100:
            levels = low + np.arange(SUM_POINTS) / SUM_POINTS * (high - low)
            ratio = self._ratio(low, levels) * (high - low) / SUM_POINTS
            first = low - high + ratio.sum()
            return float(first), float((high - low) ** 2 / 2.0 + (ratio * (levels - high)).sum())
        length = math.log(high / low)
        levels = low * np.exp(length * (NODES + 1.0) / 2.0)
        weights = NODE_WEIGHTS / 2.0 * length * levels * (self._ratio(low, levels) - 1.0)
        return float(weights.sum()), float((weights * (levels - high)).sum())

    def _ratio(self, low: float, levels: Array) -> Array:
        """phi(low) / phi(levels)."""
        logs = self.noise.log_share(np.append(low, levels))
        return np.asarray(low / levels * np.exp(logs[0] - logs[1:]))
