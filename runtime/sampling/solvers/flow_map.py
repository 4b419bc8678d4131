"""Networks that were taught whole steps: told where a step ends, they answer its mean velocity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Program, Rows

OTHERWISE = "DDIM(), Euler(), Heun(), DPMpp2M()"


class StepTold(Enum):
    """What the network is told of a step from t to s, as the table's scalar 0.

    LENGTH: t - s. END: s. Both in the units of its time. LEVEL: log2 of how many such steps make
    the whole path, 0 for a single one.
    """

    LENGTH = "length"
    END = "end"
    LEVEL = "level"

    def __repr__(self) -> str:
        return f"StepTold.{self.name}"


def _velocity_step(program: Program, grid: Grid, step: int, told: float) -> None:
    """x_s = x_t + (s - t) (E - D), the network told one scalar more."""
    now, after, basis = grid[step], grid[step + 1], program.basis
    move = (after.sigma - now.sigma) * (basis.noise - basis.denoised)
    program.stage(now._replace(scalars=(told,)), [basis.registers[0] + move])


@dataclass(frozen=True, slots=True)
@checked
class FlowMap:
    """x_s = x_t + (s - t) u, u = E - D the mean velocity from t to s that the network is asked for.

    Exact at any step count if the network is; with a network that ignores the scalar it is
    FlowEuler. Flow maps, MeanFlow and consistency trajectory models on the linear path.

    Args:
        told: what scalar 0 holds: StepTold.END or StepTold.LENGTH, in the units of model_time.

    Raises:
        InvalidInput: StepTold.LEVEL, which is what Shortcut tells.

    Source: Boffi et al. 2024, arXiv 2406.07507; Geng et al. 2025, arXiv 2505.13447.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    told: StepTold = StepTold.END

    def __post_init__(self) -> None:
        if self.told is StepTold.LEVEL:
            raise InvalidInput("a flow map is told END or LENGTH. Use Shortcut() for LEVEL.")

    def rows(self, grid: Grid) -> Rows:
        """One stage per step.

        Raises:
            InvalidInput: the path is not linear.
        """
        grid.require_linear(self, OTHERWISE)
        program = Program(grid, registers=1)
        unit = grid[0].model_time / grid[0].sigma
        for step in range(grid.steps):
            end = grid[step + 1].sigma
            told = end if self.told is StepTold.END else grid[step].sigma - end
            _velocity_step(program, grid, step, unit * told)
        return program.rows()


@dataclass(frozen=True, slots=True)
@checked
class Shortcut:
    """Shortcut models: x_s = x_t + (s - t) u with steps of 1/N, N a power of two.

    The network is told log2(N) as scalar 0, 0 for a single step. Every step is told the same, so
    the grid must be even in t, from t = 1 to t = 0.

    Args:
        finest: log2 of the finest step that was trained; more steps than that are told it, and are
            Euler's on the instantaneous velocity.

    Raises:
        InvalidInput: finest is not a whole number from 0 to 20.

    Source: Frans et al. 2024, arXiv 2410.12557.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    finest: int = 7

    def __post_init__(self) -> None:
        if not isinstance(self.finest, int) or not 0 <= self.finest <= 20:
            raise InvalidInput(f"finest {self.finest!r} must be a whole number, 0 to 20.")

    def rows(self, grid: Grid) -> Rows:
        """One stage per step.

        Raises:
            InvalidInput: the path is not linear, N no power of two, or the steps are not even.
        """
        grid.require_linear(self, OTHERWISE)
        level = round(math.log2(grid.steps))
        if 2**level != grid.steps:
            raise InvalidInput(
                f"{self} takes 1, 2, 4, 8, ... steps, found {grid.steps}. Ask for {2**level}."
            )
        lengths = grid.sigma[:-1] - grid.sigma[1:]
        if abs(lengths - 1.0 / grid.steps).max() > 1e-9:
            raise InvalidInput(
                f"{self} takes steps of 1/{grid.steps} from t = 1 to t = 0, found lengths from "
                f"{lengths.min():g} to {lengths.max():g}. Use Trailing() on a flow of shift 1."
            )
        program = Program(grid, registers=1)
        for step in range(grid.steps):
            _velocity_step(program, grid, step, float(min(level, self.finest)))
        return program.rows()
