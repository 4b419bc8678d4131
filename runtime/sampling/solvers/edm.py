"""EDM's stochastic sampler: noise is added before a step, then the step removes more of it.

    sv_hat = (1 + gamma) sv_t          gamma = min(s_churn / N, sqrt(2) - 1) within [s_tmin, s_tmax]
    x_hat / alpha_hat = x_t / alpha_t + s_noise sqrt(sv_hat^2 - sv_t^2) xi

then an Euler or Heun step in sigma_ve from sv_hat to sv_s. R_0 is what the network takes, so the
noise of a step is added by the row before it, the first one's by the prologue.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.compat import Compat
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Program, Rows
from denoisert.runtime.sampling.solvers.butcher import EULER, Scheme, Table
from denoisert.runtime.sampling.solvers.runge_kutta import Leg, walk

MOST_CHURN = math.sqrt(2.0) - 1.0


class Churn(NamedTuple):
    """How much noise is added before each step.

    Args:
        amount: s_churn; 0 adds none.
        low: s_tmin, the least sigma_ve where noise is added.
        high: s_tmax, the greatest; None is no bound.
        noise: s_noise, standard deviation of the draws.
    """

    amount: float
    low: float
    high: float | None
    noise: float

    def check(self) -> None:
        """Refuse what adds no noise anywhere or less than none.

        Raises:
            InvalidInput: a value that is negative or not finite, or an empty range.
        """
        high = math.inf if self.high is None else self.high
        values = (self.amount, self.low, self.noise)
        if not all(0.0 <= value < math.inf for value in values) or not self.low <= high:
            raise InvalidInput(
                f"churn {self.amount} between {self.low} and {self.high} with noise {self.noise}: "
                "all must be finite and 0 or more, and the range not empty."
            )

    def level(self, grid: Grid, index: int) -> tuple[float, float]:
        """The level that a step really starts from, and the noise that leads there."""
        level, high = grid[index].sigma_ve, math.inf if self.high is None else self.high
        is_within = index < grid.steps and self.low <= level <= high and 0.0 < level < math.inf
        gamma = min(self.amount / grid.steps, MOST_CHURN) if is_within else 0.0
        if gamma == 0.0:
            return level, 0.0
        return (1.0 + gamma) * level, added(level, (1.0 + gamma) * level, self.noise)

    def raised(self, grid: Grid, index: int) -> tuple[Point, float]:
        """The point of that level, and the noise."""
        level, noise = self.level(grid, index)
        now = grid[index]
        return (now if level == now.sigma_ve else grid.at_level(level)), noise


def added(low: float, high: float, noise: float) -> float:
    """Standard deviation of the noise that leads from one level up to another."""
    return noise * math.sqrt((high - low) * (high + low))


def churned(grid: Grid, churn: Churn, table_of: Callable[[Leg], Table]) -> Rows:
    """The rows of steps in sigma_ve, each from its raised level.

    Args:
        grid: the levels.
        churn: the noise before each step.
        table_of: the method of a step.

    Raises:
        InvalidInput: noise is added where a grid without a path has no point.
    """
    raised = [churn.raised(grid, index) for index in range(grid.steps + 1)]
    legs = [
        Leg(raised[i][0], grid[i + 1], raised[i + 1][0], raised[i + 1][1])
        for i in range(grid.steps)
    ]
    return walk(grid, legs, table_of, raised[0][1])


@dataclass(frozen=True, slots=True)
@checked
class EDMEuler:
    """Euler in sigma_ve from a raised level, see the module: x_s = alpha_s (D + sv_s E), at x_hat.

    Order 1 (weakly, where it draws), one evaluation per step, no history. Without churn it is
    Euler(). k-diffusion's "euler" with s_churn; with parametrisation and path of EDM, diffusers'
    EDMEulerScheduler.

    diffusers' EulerDiscreteScheduler and its kin ask the network before they add the noise, so that
    the step does not remove it: x_s = alpha_s (D + (sv_t + sv_s - sv_hat) E + noise), at x_t, and
    the last step leaves its noise in the sample. Compat.DIFFUSERS does so; a v network gets the
    weights of an eps network.

    Args:
        s_churn: noise in all, shared out over the steps; 0 draws none.
        s_tmin: least sigma / alpha where noise is added.
        s_tmax: greatest; None is no bound.
        s_noise: standard deviation of the draws; slightly above 1 makes up for lost detail.
        compat: whose order of noise and network.

    Raises:
        InvalidInput: a negative value, or an empty range.

    Source: Karras et al. 2022, arXiv 2206.00364, algorithm 2 without its correction; Crowson,
    k-diffusion, sample_euler.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float | None = None
    s_noise: float = 1.0
    compat: Compat = Compat.PAPER

    def __post_init__(self) -> None:
        self._churn.check()

    @property
    def _churn(self) -> Churn:
        return Churn(self.s_churn, self.s_tmin, self.s_tmax, self.s_noise)

    def rows(self, grid: Grid) -> Rows:
        """One stage per step.

        Raises:
            InvalidInput: see `churned`.
        """
        if self.compat is Compat.DIFFUSERS:
            return _asked_before(grid, self._churn)
        return churned(grid, self._churn, lambda leg: EULER)


def _asked_before(grid: Grid, churn: Churn) -> Rows:
    """Euler's rows with the noise added behind the network's answer."""
    program = Program(grid, registers=1)
    basis = program.basis
    for step in range(grid.steps):
        now, after = grid[step], grid[step + 1]
        level, noise = churn.level(grid, step)
        step_back = after.alpha * (level - now.sigma_ve) if noise else 0.0
        x = after.alpha * basis.denoised + (after.sigma - step_back) * basis.noise
        program.stage(now, [x + after.alpha * noise * basis.draws[0]])
    return program.rows()


@dataclass(frozen=True, slots=True)
@checked
class EDMHeun:
    """Heun in sigma_ve from a raised level, see the module; the stochastic sampler of EDM.

    Order 2, weakly so with churn: the noise keeps the marginals (with s_noise = 1), and only the
    step errs. Two evaluations per step, one into sigma_s = 0. Without churn it is Heun(). EDM's own
    values for ImageNet are EDMHeun(40, 0.05, 50, 1.003).

    Args:
        s_churn: noise in all, shared out over the steps; 0 draws none.
        s_tmin: least sigma / alpha where noise is added.
        s_tmax: greatest; None is no bound.
        s_noise: standard deviation of the draws.

    Raises:
        InvalidInput: a negative value, or an empty range.

    Source: Karras et al. 2022, arXiv 2206.00364, algorithm 2 and table 5.
    """

    order: ClassVar[int] = 2
    evaluations_per_step: ClassVar[int] = 2

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float | None = None
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        self._churn.check()

    @property
    def _churn(self) -> Churn:
        return Churn(self.s_churn, self.s_tmin, self.s_tmax, self.s_noise)

    def rows(self, grid: Grid) -> Rows:
        """Two stages per step, one into sigma = 0.

        Raises:
            InvalidInput: see `churned`.
        """
        return churned(grid, self._churn, lambda leg: Scheme.HEUN.table)
