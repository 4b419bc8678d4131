"""DPM-Solver-fast: single steps of orders 3, 3, .., 2, 1 that use up a number of evaluations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Program, Rows
from denoisert.runtime.sampling.solvers.dpm import Drift, Estimate, Form, check_noise, is_end
from denoisert.runtime.sampling.solvers.dpm_sde import descent, one_step
from denoisert.runtime.sampling.solvers.dpm_step import SingleStep, inside

SHARES = ((), (1.0 / 2.0,), (1.0 / 3.0, 2.0 / 3.0))


def fast_orders(evaluations: int) -> list[int]:
    """Orders of single steps that make so many evaluations, 3 wherever possible.

    Source: Lu et al. 2022, arXiv 2206.00927; Crowson, k-diffusion, dpm_solver_fast.
    """
    whole, rest = divmod(evaluations, 3)
    if rest:
        return [3] * whole + [rest]
    return [3] * (whole - 1) + [2, 1] if whole else []


@dataclass(frozen=True, slots=True)
@checked
class DPMFast:
    """DPM-Solver-fast: DPM-Solver-3 as long as N evaluations last, then orders 2 and 1.

    A grid of N steps gives the ends and the number of evaluations, N; the steps in between are this
    solver's own, even in log SNR: 10 evaluations are steps of orders 3, 3, 3, 1. Where the grid
    ends at sigma = 0, N - 1 evaluations lead to its last noisy point and one more, of order 1, to
    the end; where it starts at alpha = 0 the first step of the grid is taken alone, in order 1.
    (k-diffusion spends all on the noisy part and leaves the rest of the noise in the picture.)

    With eta each step goes down further, as DPMpp2SAncestral does but never below the last noisy
    level, and adds fresh noise.

    One evaluation per step of the grid, each counted as one, no history. Almost all of the way has
    order 3, but the last step of order 1 or 2 leaves order 2, with noise weakly. Also called
    "DPM fast".

    Args:
        eta: 0 deterministic, 1 ancestral.
        noise_scale: factor of the fresh noise alone; 1 is the right variance.

    Raises:
        InvalidInput: a number outside its range.

    Source: Lu et al. 2022, arXiv 2206.00927; Crowson, k-diffusion, sample_dpm_fast.
    """

    order: ClassVar[int] = 2
    evaluations_per_step: ClassVar[int] = 1

    eta: float = 0.0
    noise_scale: float = 1.0

    def __post_init__(self) -> None:
        check_noise(self, self.eta, self.noise_scale, most=1.0)

    def rows(self, grid: Grid) -> Rows:
        """One stage per step of the grid.

        Raises:
            InvalidInput: the grid knows no path between its points.
        """
        first = int(is_end(grid[0]))
        last = max(first, grid.steps - int(is_end(grid[grid.steps])))
        orders = fast_orders(last - first)
        program = Program(grid, registers=min(2, max(orders, default=1)))
        self._plain(program, grid, range(first))
        points = _points(grid, first, last, len(orders))
        single = SingleStep(Drift(Estimate.NOISE), Form.MIDPOINT)
        for now, after, order in zip(points[:-1], points[1:], orders, strict=True):
            target, gain = self._descent(now, after, points[-1])
            asked = [now, *(inside(grid, now, target, r) for r in SHARES[order - 1])]
            noise = self.noise_scale * gain * program.basis.draws[0]
            single.write(program, asked, target, [1] * order, noise)
        self._plain(program, grid, range(last, grid.steps))
        return program.rows()

    def _plain(self, program: Program, grid: Grid, steps: range) -> None:
        """Steps of the grid itself, in order 1."""
        for step in steps:
            now, after = grid[step], grid[step + 1]
            x = one_step(program.basis, now, after, self.eta, self.noise_scale)
            program.stage(now, [x])

    def _descent(self, now: Point, after: Point, last: Point) -> tuple[Point, float]:
        """Where the deterministic part ends, not below the last noisy level, and its noise."""
        target, _ = descent(now, after, self.eta)
        sigma = min(max(target.sigma, after.alpha * last.sigma_ve), after.sigma)
        gain = math.sqrt((after.sigma - sigma) * (after.sigma + sigma))
        return target._replace(sigma=sigma), gain


def _points(grid: Grid, first: int, last: int, count: int) -> list[Point]:
    """`count` steps from one point of the grid to another, even in log SNR."""
    if not count:
        return [grid[first]]
    levels = np.geomspace(grid[first].sigma_ve, grid[last].sigma_ve, count + 1)
    between = [grid.at_level(float(level)) for level in levels[1:-1]]
    return [grid[first], *between, grid[last]]
