"""Euler and Heun on the velocity of a linear path, dx/dt = E - D."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Program, Rows

ANY_PATH = ("DDIM()", "DPMpp2M()", "Euler()", "EulerAncestral()", "Heun()")


def _check_linear(solver: FlowEuler | FlowHeun, grid: Grid) -> None:
    if not grid.is_linear:
        raise InvalidInput(
            f"{solver} needs a linear path, alpha + sigma = 1; this grid has alpha + sigma up to "
            f"{(grid.alpha + grid.sigma).max():g}. Solvers that fit it: {', '.join(ANY_PATH)}."
        )


@dataclass(frozen=True, slots=True)
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
        _check_linear(self, grid)
        program = Program(grid, registers=1)
        x, velocity = program.basis.registers[0], program.basis.noise - program.basis.denoised
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            program.stage(now, [x + (after.sigma - now.sigma) * velocity])
        return program.rows()


@dataclass(frozen=True, slots=True)
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
        _check_linear(self, grid)
        program = Program(grid, registers=2)
        (x, kept), velocity = program.basis.registers, program.basis.noise - program.basis.denoised
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            length = after.sigma - now.sigma
            if after.sigma == 0.0:
                program.stage(now, [x + length * velocity])
                continue
            program.stage(now, [x + length * velocity, x + length / 2 * velocity], ends=0)
            program.stage(after, [kept + length / 2 * velocity])
        return program.rows()
