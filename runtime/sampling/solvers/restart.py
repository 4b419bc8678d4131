"""Restart sampling: back up to a higher noise level, and down again without noise, K times."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Rows
from denoisert.runtime.sampling.solvers.butcher import Scheme, Table, check_table, order, rows_of
from denoisert.runtime.sampling.solvers.edm import added
from denoisert.runtime.sampling.solvers.runge_kutta import Leg, walk

Interval = tuple[float, float, int, int]

MOST_ROUNDS = 1000


@dataclass(frozen=True, slots=True)
@checked
class Restart:
    """A Runge-Kutta method in sigma_ve that goes back up now and then.

    Where it has come down to the point nearest to low, it repeats K times:

    up     x / alpha += s_noise sqrt(high^2 - sv^2) xi
    down   n steps from high to sv = (high^(1/rho) + i/n (sv^(1/rho) - high^(1/rho)))^rho

    with gamma each of these steps starts from (1 + gamma) times its level, as in EDMHeun; the
    noise up and that of the first step are one draw of the same variance. The noise in the middle
    contracts errors made above, the way down has the accuracy of the table.

    Order that of the table, weakly so, if n grows with the steps of the grid: what an interval errs
    does not fall with them. K n further steps per interval, no history. Without intervals it is
    RungeKutta(table).

    Args:
        intervals: (low, high, K, n) each, levels in sigma / alpha, visited as the run reaches them.
        table: a scheme by name, or rows as `butcher` has them.
        rho: the spacing of Karras et al. within an interval.
        gamma: noise added before each step within an interval.
        s_noise: standard deviation of the draws.

    Raises:
        InvalidInput: an interval that does not rise or has no steps, a negative value, no table.

    Source: Xu et al. 2023, arXiv 2306.14878, algorithm 1, and its published code; the interval by
    default is that of "Restart" in AUTOMATIC1111's web interface.
    """

    intervals: tuple[Interval, ...] = ((0.1, 2.0, 1, 9),)
    table: Scheme | Table = Scheme.HEUN
    rho: float = 7.0
    gamma: float = 0.0
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        check_table(self.table)
        for low, high, rounds, steps in self.intervals:
            is_finite = 0.0 <= low < high < math.inf
            if not is_finite or not (1 <= rounds <= MOST_ROUNDS and 1 <= steps <= MOST_ROUNDS):
                raise InvalidInput(
                    f"interval {(low, high, rounds, steps)}: write (low, high, K, n) with levels "
                    f"that rise and K and n from 1 to {MOST_ROUNDS}."
                )
        values = (self.gamma, self.s_noise)
        if not 0.0 < self.rho < math.inf or not all(0.0 <= value < math.inf for value in values):
            raise InvalidInput(
                f"rho {self.rho} must be above 0, gamma {self.gamma} and s_noise {self.s_noise} 0 "
                "or more, all finite."
            )

    @property
    def order(self) -> int:
        """Of the table."""
        return order(rows_of(self.table))

    @property
    def evaluations_per_step(self) -> int:
        """The most that any step makes, if all intervals are reached by it."""
        inside = sum(rounds * steps for _, _, rounds, steps in self.intervals)
        return len(rows_of(self.table)) * (1 + inside)

    def rows(self, grid: Grid) -> Rows:
        """A row per stage.

        Raises:
            InvalidInput: an interval whose upper level is below the grid's point nearest to its
                lower one, or a grid that has no path between its points.
        """
        legs: list[Leg] = []
        reached = [self._nearest(grid, interval) for interval in self.intervals]
        for step in range(grid.steps):
            legs.append(Leg(grid[step], grid[step + 1], grid[step + 1]))
            for interval, index in zip(self.intervals, reached, strict=True):
                if index == step + 1:
                    self._extend(legs, grid, interval)
        return walk(grid, legs, lambda leg: rows_of(self.table))

    def _nearest(self, grid: Grid, interval: Interval) -> int:
        """The point behind a step whose level is nearest to `low`; it has noise."""
        low, high = interval[:2]
        levels = {i: grid[i].sigma_ve for i in range(1, grid.steps + 1) if grid[i].sigma > 0.0}
        if not levels:
            raise InvalidInput(
                f"restart at {low:g} on a grid of {grid.steps} step, which has no point to go back "
                "from. Ask for more steps."
            )
        index = min(levels, key=lambda i: abs(levels[i] - low))
        if not levels[index] < high:
            raise InvalidInput(
                f"restart from {low:g} up to {high:g}: the grid's nearest point is at "
                f"{levels[index]:g}. Ask for more steps or another interval."
            )
        return index

    def _extend(self, legs: list[Leg], grid: Grid, interval: Interval) -> None:
        """Append the legs of all rounds; the leg before each gets the noise that leads up."""
        _, high, rounds, steps = interval
        base = legs[-1].after
        roots = np.linspace(high ** (1 / self.rho), base.sigma_ve ** (1 / self.rho), steps + 1)
        levels = (roots**self.rho).tolist()
        ends = [*(grid.at_level(level) for level in levels[1:-1]), base]
        starts = [self._raised(grid, Point(1.0, level, np.nan)) for level in levels[:-1]]
        for _ in range(rounds):
            noise = added(base.sigma_ve, starts[0].sigma_ve, self.s_noise)
            legs[-1] = legs[-1]._replace(after=starts[0], noise=noise)
            for i, end in enumerate(ends):
                after = starts[i + 1] if i + 1 < steps else base
                lift = added(end.sigma_ve, after.sigma_ve, self.s_noise) if self.gamma else 0.0
                legs.append(Leg(starts[i], end, after, lift, ends=0))

    def _raised(self, grid: Grid, point: Point) -> Point:
        return grid.at_level((1.0 + self.gamma) * point.sigma_ve)
