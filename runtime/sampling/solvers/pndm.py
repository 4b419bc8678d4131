"""Pseudo numerical methods: the fourth-order Adams-Bashforth mean of E after a warm-up.

A step with a noise estimate E' is DDIM's, x_s = alpha_s (x_t / alpha_t + (sv_s - sv_t) E'), so all
of it is dx_ve / dsv = E with weights that take the steps to be even.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Program, Rows
from denoisert.runtime.sampling.solvers.adams import EVEN, multistep, weights
from denoisert.runtime.sampling.solvers.butcher import EULER, Scheme, Table, memory
from denoisert.runtime.sampling.solvers.runge_kutta import Leg, advance, move_of

HISTORY = 3
ROUNDING = 1e-9  # a time that went through its level is the same time


class _Warm(NamedTuple):
    """One step of the warm-up: its method, and where its stages ask."""

    table: Table
    points: Sequence[Point]


def _depth(step: int, warm: int, steps: int) -> int:
    """Slopes that later multistep steps still read behind a step."""
    first = max(warm, step + 1)
    return step + 1 - max(0, first - HISTORY) if first < steps else 0


def _rows(grid: Grid, warm: Sequence[_Warm]) -> Rows:
    """Warm-up steps, then Adams-Bashforth."""
    depths = [_depth(step, len(warm), grid.steps) for step in range(grid.steps)]
    helds = [0, *depths]
    need = [memory(one.table, min(depths[i], 1)) + helds[i] for i, one in enumerate(warm)]
    program = Program(grid, max(*need, 1 + max(depths)))
    for step in range(grid.steps):
        now, after = grid[step], grid[step + 1]
        if step < len(warm):
            table, points = warm[step]
            move = move_of(program, Leg(now, after, after), points)
            advance(program, table, move, helds[step], depths[step])
        else:
            length = after.sigma_ve - now.sigma_ve
            parts = length * weights(EVEN[: min(HISTORY, step) + 1], 1.0)
            multistep(program, now, after, parts, depths[step])
    return program.rows()


def _middle(grid: Grid, time: float) -> Point:
    """The point of a time, whose network is told it, or what it hears of its level instead."""
    alpha, sigma = grid.at_time(time)
    told = grid.at_level(sigma / alpha).model_time
    return Point(alpha, sigma, time if abs(told - time) < ROUNDING * abs(time) else told)


@dataclass(frozen=True, slots=True)
@checked
class PLMS:
    """PNDM without Runge-Kutta: the first step is Heun's, then E' of 2, 3 and 4 noise estimates.

    E' = (55 E_0 - 59 E_1 + 37 E_2 - 9 E_3) / 24

    One evaluation per step and two in the first: N + 1 in all, history 3. Order 2 with a small
    constant, as the means suit even steps of sigma_ve. Where the network cannot be asked behind the
    first step, or alpha_t = 0 before it, that step is DDIM's.

    "PLMS" of latent diffusion, diffusers' PNDMScheduler with skip_prk_steps. The means are of E
    whatever the network answers; with v_prediction diffusers takes them of v at other points.

    Source: Liu et al. 2022, arXiv 2202.09778, eq. 12; Crowson's PLMS sampler in latent diffusion.
    """

    order: ClassVar[int] = 2
    evaluations_per_step: ClassVar[int] = 2

    def rows(self, grid: Grid) -> Rows:
        """One stage per step, two in the first."""
        now, after = grid[0], grid[1]
        is_euler = Leg(now, after, after).is_euler
        heun = _Warm(Scheme.HEUN.table, (now, after))
        return _rows(grid, [_Warm(EULER, [now]) if is_euler else heun])


@dataclass(frozen=True, slots=True)
@checked
class PNDM:
    """Pseudo numerical method: three Runge-Kutta steps, then E' of 4 noise estimates as in PLMS.

    E' = (E_a + 2 E_b + 2 E_c + E_d) / 6, with b and c at the middle of the step in model time

    Four evaluations in each of the first three steps, one in the others: N + 9 in all, history 3,
    five registers. Order 2 with a small constant, as in PLMS. Asks between the points of the grid.
    A step into sigma_s = 0 or out of alpha_t = 0 is DDIM's.

    diffusers' PNDMScheduler, which halves the distance of times downwards, so that it misses the
    middle by half a time where that is odd.

    Source: Liu et al. 2022, arXiv 2202.09778, eq. 9, 12 and 13, algorithm 2.
    """

    order: ClassVar[int] = 2
    evaluations_per_step: ClassVar[int] = 4

    def rows(self, grid: Grid) -> Rows:
        """One stage per step, four in the first three.

        Raises:
            InvalidInput: the grid has no path between its points.
        """
        return _rows(grid, [self._runge_kutta(grid, step) for step in range(min(3, grid.steps))])

    def _runge_kutta(self, grid: Grid, step: int) -> _Warm:
        now, after = grid[step], grid[step + 1]
        leg = Leg(now, after, after)
        if leg.is_euler:
            return _Warm(EULER, [now])
        middle = _middle(grid, (now.model_time + after.model_time) / 2.0)
        half = leg.share(middle.sigma_ve)
        table = ((half,), (0.0, half), (0.0, 0.0, 1.0), Scheme.RK4.table[-1])
        return _Warm(table, (now, middle, middle, after))
