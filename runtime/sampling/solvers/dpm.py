"""DPM-Solver++: exponential integrators on the clean estimate, in half the log SNR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Program, Rows


@dataclass(frozen=True, slots=True)
class DPMpp2M:
    """DPM-Solver++(2M): second order, multistep, one evaluation per step.

    x_s = (sigma_s / sigma_t) x_t - alpha_s expm1(-h) ((1 + 1/(2r)) d_0 - 1/(2r) d_1),
    h = half_logsnr_s - half_logsnr_t, r = h_previous / h, d_i the clean estimates, newest first.

    Order 2, history 1. The first step has order 1 (only d_0), and so has the last one if it ends at
    sigma_s = 0 or there are few steps. -alpha_s expm1(-h) is written
    alpha_s - alpha_t sigma_s / sigma_t, which is finite at alpha_t = 0; there h is infinite and the
    following step has 1/r = 0, the limit. Order 2 is meant in log SNR: times that run evenly down
    to t = 0 do not refine its last steps, and the error falls like log(N) / N^2.

    Also called "DPM++ 2M"; in diffusers "dpmsolver++" of order 2 with "midpoint". Not DPM-Solver-2
    (single step, noise estimate), not the SDE form.

    Args:
        lower_order_below: the last step has order 1 if the grid has fewer steps than this; 0 never.

    Raises:
        InvalidInput: lower_order_below is not a whole number of at least 0.

    Source: Lu et al. 2022, arXiv 2211.01095, algorithm 2.
    """

    order: ClassVar[int] = 2
    evaluations_per_step: ClassVar[int] = 1

    lower_order_below: int = 15

    def __post_init__(self) -> None:
        if not isinstance(self.lower_order_below, int) or self.lower_order_below < 0:
            raise InvalidInput(
                f"lower_order_below {self.lower_order_below!r} must be a whole number, 0 or more."
            )

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        program = Program(grid, registers=2)
        (x, previous), denoised = program.basis.registers, program.basis.denoised
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            ahead = self._extrapolation(grid, step)
            target = (1.0 + ahead) * denoised - ahead * previous
            ratio = after.sigma / now.sigma
            program.stage(now, [ratio * x + (after.alpha - now.alpha * ratio) * target, denoised])
        return program.rows()

    def _extrapolation(self, grid: Grid, step: int) -> float:
        """1/(2r), or 0 where the step has order 1."""
        is_last = step == grid.steps - 1
        is_lower = is_last and (grid[step + 1].sigma == 0.0 or grid.steps < self.lower_order_below)
        if step == 0 or is_lower:
            return 0.0
        before, now, after = (grid[step + i].half_logsnr for i in (-1, 0, 1))
        return (after - now) / (2.0 * (now - before))
