"""Asking a network on the way up, from the data end to the noise end."""

from __future__ import annotations

import math
from enum import Enum

from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Program, Rows


class Told(Enum):
    """Which time the network is told on the way up from s to t.

    NEXT: that of t, as everybody's code does; at the data end there is no other. OWN: that of s
    where it has one, as the ODE asks for.
    """

    NEXT = "next"
    OWN = "own"

    def __repr__(self) -> str:
        return f"Told.{self.name}"


def upward(low: Point, high: Point, told: Told) -> Point:
    """The point where the network is asked on the way from `low` to `high`."""
    has_own_time = low.sigma > 0.0 and not math.isnan(low.model_time)
    if told is Told.OWN and has_own_time:
        return low
    return low._replace(model_time=high.model_time)


def ddim_upward(grid: Grid, told: Told) -> Rows:
    """x_t = alpha_t D + sigma_t E from the point s below: DDIM's update with rising noise.

    Args:
        grid: from the noise end to the data end; the rows run from its last point to its first.
        told: which time the network is told.

    Returns:
        One stage per step, starting from the source.
    """
    program = Program.from_source(grid, registers=1)
    denoised, noise = program.basis.denoised, program.basis.noise
    for step in reversed(range(grid.steps)):
        low, high = grid[step + 1], grid[step]
        program.stage(upward(low, high, told), [high.alpha * denoised + high.sigma * noise])
    return program.rows()
