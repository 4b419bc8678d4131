"""Runge-Kutta methods on the velocity of a linear path, dx/dt = E - D."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Program, Rows
from denoisert.runtime.sampling.solvers.butcher import (
    EULER,
    Scheme,
    Table,
    check_table,
    memory,
    nodes,
    order,
    rows_of,
)
from denoisert.runtime.sampling.solvers.inversion import Told, ddim_upward
from denoisert.runtime.sampling.solvers.runge_kutta import Move, advance

ANY_PATH = ("DDIM()", "DPMpp2M()", "Euler()", "EulerAncestral()", "Heun()")


def _walk(solver: object, grid: Grid, table: Table) -> Rows:
    """The rows of steps in t; one into t = 0 that a stage would ask at is Euler's."""
    grid.require_linear(solver, ", ".join(ANY_PATH))
    asks_the_end = any(math.isclose(share, 1.0) for share in nodes(table))
    program = Program(grid, memory(table, 0))
    for step in range(grid.steps):
        is_euler = asks_the_end and grid[step + 1].sigma == 0.0
        _step(program, grid, step, EULER if is_euler else table)
    return program.rows()


def _step(program: Program, grid: Grid, step: int, table: Table) -> None:
    basis = program.basis
    points = [_between(grid, step, share) for share in nodes(table)]
    length = grid[step + 1].sigma - grid[step].sigma
    velocity = basis.noise - basis.denoised
    start, still = basis.registers[0], np.zeros(basis.width)
    advance(program, table, Move(points, [1.0] * len(table), start, velocity, length, still))


def _between(grid: Grid, step: int, share: float) -> Point:
    now, after = grid[step], grid[step + 1]
    if math.isclose(share, 1.0):
        return after
    if abs(share) < 1e-9:
        return now
    t = now.sigma + share * (after.sigma - now.sigma)
    return grid.at_level(t / (1.0 - t))


@dataclass(frozen=True, slots=True)
@checked
class FlowEuler:
    """Euler's method in t: x_s = x_t + (s - t) (E - D).

    Order 1, one evaluation per step, no history. Because x_t = (1 - t) D + t E, the step is
    (1 - s) D + s E, so it is also Euler() and DDIM() on this path.

    Source: Liu et al. 2022, arXiv 2209.03003, section 2.1.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    def rows(self, grid: Grid) -> Rows:
        """One stage per step.

        Raises:
            InvalidInput: the path is not linear.
        """
        return _walk(self, grid, EULER)

    def inverse_rows(self, grid: Grid, told: Told) -> Rows:
        """The same as DDIM's, see `Inverse`."""
        return ddim_upward(grid, told)


@dataclass(frozen=True, slots=True)
@checked
class FlowHeun:
    """Heun's method in t: x_s = x_t + (s - t)/2 (u + u'), u = E - D at x_t and u' at Euler's x_s.

    Order 2, two evaluations per step, no history. The step into t = 0 is Euler's, as networks are
    rarely trained there, and errs by the square of its own length: N steps make 2N - 1 evaluations.
    The step out of t = 1 is a full one. Not Heun, which corrects the slope in sigma_ve.

    Source: Heun's method on the velocity of Liu et al. 2022, arXiv 2209.03003.
    """

    order: ClassVar[int] = 2
    evaluations_per_step: ClassVar[int] = 2

    def rows(self, grid: Grid) -> Rows:
        """Two stages per step, one into t = 0.

        Raises:
            InvalidInput: the path is not linear.
        """
        return _walk(self, grid, Scheme.HEUN.table)


@dataclass(frozen=True, slots=True)
@checked
class FlowRungeKutta:
    """Any explicit Runge-Kutta method in t: x_s = x_t + (s - t) sum_j b_j u_j, u = E - D.

    The order is the table's, one evaluation per stage, no history. A step into t = 0 is Euler's if
    a stage of the table asks at the end of its step, as RK4's does, and errs by the square of its
    own length; the midpoint's and Ralston's stages do not. Steps out of t = 1 are full ones.

    FlowRungeKutta(Scheme.HEUN) is FlowHeun(). Not RungeKutta, which steps in sigma_ve.

    Args:
        table: a scheme by name, or rows as `butcher` has them, stages within the step.

    Raises:
        InvalidInput: no explicit table.

    Source: the velocity of Liu et al. 2022, arXiv 2209.03003; fixed-step solvers of torchdiffeq.
    """

    table: Scheme | Table = Scheme.MIDPOINT

    def __post_init__(self) -> None:
        check_table(self.table)

    @property
    def order(self) -> int:
        """Of the table."""
        return order(rows_of(self.table))

    @property
    def evaluations_per_step(self) -> int:
        """Stages of the table."""
        return len(rows_of(self.table))

    def rows(self, grid: Grid) -> Rows:
        """A row per stage.

        Raises:
            InvalidInput: the path is not linear, or the grid has none between its points.
        """
        return _walk(self, grid, rows_of(self.table))
