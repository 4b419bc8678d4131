"""Explicit Runge-Kutta methods on the probability flow, in the noise level sigma_ve.

    dx_ve / dsv = E,  x_ve = x / alpha,  sv = sigma / alpha

Heun, DPM-Solver-2, EDM's stochastic sampler and Restart are such steps from level to level, with
noise added between some of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from denoisert.runtime.sampling.basis import Vector
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
    transitions,
)


class Move(NamedTuple):
    """One step of a Runge-Kutta method on dy/du = k.

    Args:
        points: where each stage asks, the network's input being R_0.
        scales: R_0 = scale y behind each stage; the last one also scales the other registers.
        start: y where the step begins.
        slope: k of a stage.
        length: h, the step in u.
        noise: added to R_0 behind the step.
        ends: steps of the grid that end with this one.
    """

    points: Sequence[Point]
    scales: Sequence[float]
    start: Vector
    slope: Vector
    length: float
    noise: Vector
    ends: int = 1


def advance(program: Program, table: Table, move: Move, held: int = 0, depth: int = 0) -> None:
    """Write the stages of one step; behind it R_1, .. hold the slopes that a history keeps.

    Args:
        program: where they are written.
        table: the method.
        move: the step.
        held: slopes in R_1, .. before the step, newest first.
        depth: slopes in R_1, .. behind the step, the step's own first; 0 keeps none.
    """
    registers = program.basis.registers
    history = registers[1 : 1 + held]
    known, last = [move.start], len(table) - 1
    plan = transitions(table, min(depth, 1))
    for stage, matrix in enumerate(plan):
        rows = matrix @ np.array([*known, move.length * move.slope])
        scale, rest = move.scales[stage], move.scales[last]
        if stage < last:
            stored = [scale * rows[0], *history, *(rest * rows[1:])]
            program.stage(move.points[stage], stored, ends=0)
            others = registers[1 + held : len(rows) + held]
            known = [registers[0] / scale, *(register / rest for register in others)]
    slopes = [row / move.length for row in rows[1:]]
    kept = [*slopes, *history][:depth]
    program.stage(move.points[last], [scale * rows[0] + move.noise, *kept], ends=move.ends)


class Leg(NamedTuple):
    """One step in sigma_ve, then noise.

    Args:
        now: where R_0 lies, asked first.
        end: where the step ends.
        after: where R_0 lies behind the noise; `end` itself if there is none.
        noise: standard deviation of the noise, per unit of clean latent.
        ends: steps of the grid that end with this one.
    """

    now: Point
    end: Point
    after: Point
    noise: float = 0.0
    ends: int = 1

    @property
    def is_euler(self) -> bool:
        """Whether the network cannot be asked at the end, or the start has no finite level."""
        return self.end.sigma == 0.0 or self.now.alpha == 0.0

    def share(self, level: float) -> float:
        """A level as a share of the way."""
        return (level - self.now.sigma_ve) / (self.end.sigma_ve - self.now.sigma_ve)

    def point(self, grid: Grid, share: float) -> Point:
        """Where a stage asks."""
        if math.isclose(share, 1.0):
            return self.end
        if abs(share) < 1e-9:
            return self.now
        level = self.now.sigma_ve + share * (self.end.sigma_ve - self.now.sigma_ve)
        return grid.at_level(level)


def plain(grid: Grid) -> list[Leg]:
    """The steps of the grid."""
    return [Leg(grid[i], grid[i + 1], grid[i + 1]) for i in range(grid.steps)]


def walk(
    grid: Grid, legs: Sequence[Leg], table_of: Callable[[Leg], Table], noise: float = 0.0
) -> Rows:
    """The rows of steps in sigma_ve.

    A step into sigma = 0, where the network cannot be asked, or out of alpha = 0, where sv is
    infinite, is Euler's: x_s = alpha_s D + sigma_s E.

    Args:
        grid: what is started from.
        legs: every step, each beginning where the last one came to lie.
        table_of: the method of a step that is not Euler's.
        noise: standard deviation of the noise that leads from the grid's start to the first leg,
            per unit of clean latent.
    """
    tables = [EULER if leg.is_euler else table_of(leg) for leg in legs]
    program = Program(grid, max(memory(table, 0) for table in tables))
    if noise:
        ratio, gain = legs[0].now.alpha / grid[0].alpha, legs[0].now.alpha * noise
        basis = program.basis
        start = grid.noise_gain * basis.draws[0]
        if grid.source_gain:
            start = start + grid.source_gain * basis.external(0)
        program.begin([ratio * start + gain * basis.draws[1]])
    for leg, table in zip(legs, tables, strict=True):
        points = [leg.point(grid, share) for share in nodes(table)]
        advance(program, table, move_of(program, leg, points))
    return program.rows()


def move_of(program: Program, leg: Leg, points: Sequence[Point]) -> Move:
    """The step of a leg; y = x / alpha, which where it begins is D + sv E."""
    basis = program.basis
    scales = [*(point.alpha for point in points[1:]), leg.after.alpha]
    noise = leg.after.alpha * leg.noise * basis.draws[0]
    if leg.is_euler:
        start, length = basis.denoised, leg.end.sigma_ve
    else:
        start = basis.denoised + leg.now.sigma_ve * basis.noise
        length = leg.end.sigma_ve - leg.now.sigma_ve
    return Move(points, scales, start, basis.noise, length, noise, leg.ends)


@dataclass(frozen=True, slots=True)
@checked
class RungeKutta:
    """Any explicit Runge-Kutta method in sigma_ve, with stages between the points of the grid.

    x_s / alpha_s = x_t / alpha_t + (sv_s - sv_t) sum_j b_j E_j. The order is the table's, one
    evaluation per stage, no history. A step into sigma_s = 0 or out of alpha_t = 0 is Euler's and
    errs by the square of its own length, so end above 0 where order matters.

    RungeKutta(Scheme.HEUN) is Heun(). Not FlowRungeKutta, which steps in t.

    Args:
        table: a scheme by name, or rows as `butcher` has them, stages within the step.

    Raises:
        InvalidInput: no explicit table.

    Source: the flow dx/dsigma of Karras et al. 2022, arXiv 2206.00364, eq. 1 with s = 1.
    """

    table: Scheme | Table = Scheme.RK4

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
            InvalidInput: a stage between the points of a grid without a path.
        """
        return walk(grid, plain(grid), lambda leg: rows_of(self.table))
