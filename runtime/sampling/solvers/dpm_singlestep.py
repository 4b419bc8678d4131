"""Single-step DPM solvers: slopes of the estimate from inside the step, two or three evaluations.

These ask the network between the points of the grid, at shares r of a step in half the log SNR.
`dpm_blocks` has the same steps laid over several steps of a grid, asked at its points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Program, Rows
from denoisert.runtime.sampling.solvers.dpm import Drift, Estimate, Form, is_end
from denoisert.runtime.sampling.solvers.dpm_step import SingleStep, inside


def _rows(grid: Grid, single: SingleStep, shares: Sequence[float]) -> Rows:
    """Every step in one piece; those with an infinite end have order 1."""
    is_plain = [is_end(grid[step]) or is_end(grid[step + 1]) for step in range(grid.steps)]
    program = Program(grid, registers=1 if all(is_plain) else 2)
    for step in range(grid.steps):
        start, after = grid[step], grid[step + 1]
        inner = [] if is_plain[step] else [inside(grid, start, after, r) for r in shares]
        single.write(program, [start, *inner], after, [*(0 for _ in inner), 1])
    return program.rows()


def _check_shares(solver: object, *shares: float) -> None:
    rising = (0.0, *shares)
    if not all(a < b for a, b in zip(rising, (*shares, 1.0 + 1e-12), strict=True)):
        raise InvalidInput(f"{solver}: its shares of a step must rise from above 0 to at most 1.")


@dataclass(frozen=True, slots=True)
@checked
class DPMpp2S:
    """DPM-Solver++(2S): single step, clean estimate, asked at the share r of each step.

    u   = (sigma_1 / sigma_t) x_t + alpha_1 (1 - exp(-r h)) D
    x_s = (sigma_s / sigma_t) x_t + alpha_s (1 - exp(-h)) ((1 - 1/(2r)) D + 1/(2r) D_u)

    Order 2, two evaluations per step, no history. Steps out of alpha_t = 0 and into sigma_s = 0
    have order 1. With r = 1/2 it is DPMpp2SAncestral(eta=0). Not DPMppBlocks, which asks at the
    points of the grid alone; not DPMpp2M.

    Args:
        r: in (0, 1].
        form: MIDPOINT as above; HEUN weighs (D_u - D) / r by alpha_s w_1, see the module dpm.

    Raises:
        InvalidInput: r outside its range.

    Source: Lu et al. 2022, arXiv 2211.01095, algorithm 1.
    """

    order: ClassVar[int] = 2
    evaluations_per_step: ClassVar[int] = 2

    r: float = 0.5
    form: Form = Form.MIDPOINT

    def __post_init__(self) -> None:
        _check_shares(self, self.r)

    def rows(self, grid: Grid) -> Rows:
        """Two stages per step, one at the ends named above.

        Raises:
            InvalidInput: the grid knows no path between its points.
        """
        return _rows(grid, SingleStep(Drift(Estimate.CLEAN), self.form), (self.r,))


@dataclass(frozen=True, slots=True)
@checked
class DPMpp3S:
    """DPM-Solver++(3S): single step, clean estimate, asked at two shares of each step.

    u_i = (sigma_i / sigma_t) x_t + alpha_i (1 - exp(-r_i h)) D  [+ slope from D_u1 for u_2]
    x_s = (sigma_s / sigma_t) x_t + alpha_s (w_0 D + w_1 m' + w_2 m''), see `SingleStep`

    Order 3 at r_2 = 2/3, else 2; three evaluations per step, no history. Steps out of alpha_t = 0
    and into sigma_s = 0 have order 1. Not DPMppBlocks(3), which asks at the points of the grid
    alone; not DPMpp3M.

    Args:
        r_1: share of the second evaluation, above 0.
        r_2: share of the third, above r_1, at most 1.
        form: of the whole step.

    Raises:
        InvalidInput: shares that do not rise.

    Source: Lu et al. 2022, arXiv 2211.01095, published code.
    """

    evaluations_per_step: ClassVar[int] = 3

    r_1: float = 1.0 / 3.0
    r_2: float = 2.0 / 3.0
    form: Form = Form.MIDPOINT

    def __post_init__(self) -> None:
        _check_shares(self, self.r_1, self.r_2)

    @property
    def order(self) -> int:
        """3 where the third evaluation lies at 2/3, else 2."""
        return 3 if math.isclose(self.r_2, 2.0 / 3.0) else 2

    def rows(self, grid: Grid) -> Rows:
        """Three stages per step, one at the ends named above.

        Raises:
            InvalidInput: the grid knows no path between its points.
        """
        return _rows(grid, SingleStep(Drift(Estimate.CLEAN), self.form), (self.r_1, self.r_2))


@dataclass(frozen=True, slots=True)
@checked
class DPMSolver2:
    """DPM-Solver-2: single step, noise estimate, asked at the share r of each step.

    u   = (alpha_1 / alpha_t) x_t - sigma_1 expm1(r h) E
    x_s = (alpha_s / alpha_t) x_t - sigma_s expm1(h) ((1 - 1/(2r)) E + 1/(2r) E_u)

    Order 2, two evaluations per step, no history. Steps out of alpha_t = 0 and into sigma_s = 0
    have order 1. Not k-diffusion's dpm_2, which is a midpoint rule in sigma_ve.

    Args:
        r: in (0, 1].
        form: MIDPOINT as above; HEUN weighs -(E_u - E) / r by sigma_s (expm1(h) / h - 1).

    Raises:
        InvalidInput: r outside its range.

    Source: Lu et al. 2022, arXiv 2206.00927, algorithm 1.
    """

    order: ClassVar[int] = 2
    evaluations_per_step: ClassVar[int] = 2

    r: float = 0.5
    form: Form = Form.MIDPOINT

    def __post_init__(self) -> None:
        _check_shares(self, self.r)

    def rows(self, grid: Grid) -> Rows:
        """Two stages per step, one at the ends named above.

        Raises:
            InvalidInput: the grid knows no path between its points.
        """
        return _rows(grid, SingleStep(Drift(Estimate.NOISE), self.form), (self.r,))


@dataclass(frozen=True, slots=True)
@checked
class DPMSolver3:
    """DPM-Solver-3: single step, noise estimate, asked at two shares of each step.

    u_1 = (alpha_1 / alpha_t) x_t - sigma_1 expm1(r_1 h) E
    u_2 = (alpha_2 / alpha_t) x_t - sigma_2 expm1(r_2 h) E
          - sigma_2 (r_2 / r_1) (expm1(r_2 h) / (r_2 h) - 1) (E_u1 - E)
    x_s = (alpha_s / alpha_t) x_t - sigma_s expm1(h) E
          - sigma_s / r_2 (expm1(h) / h - 1) (E_u2 - E)

    Order 3 at r_2 = 2/3, else 2; three evaluations per step, no history. Steps out of alpha_t = 0
    and into sigma_s = 0 have order 1. DPMFast mixes it with lower orders.

    Args:
        r_1: share of the second evaluation, above 0.
        r_2: share of the third, above r_1, at most 1.
        form: MIDPOINT as above; HEUN uses E_u1 in the whole step, too, see `SingleStep`.

    Raises:
        InvalidInput: shares that do not rise.

    Source: Lu et al. 2022, arXiv 2206.00927, algorithm 2; HEUN: its published code.
    """

    evaluations_per_step: ClassVar[int] = 3

    r_1: float = 1.0 / 3.0
    r_2: float = 2.0 / 3.0
    form: Form = Form.MIDPOINT

    def __post_init__(self) -> None:
        _check_shares(self, self.r_1, self.r_2)

    @property
    def order(self) -> int:
        """3 where the third evaluation lies at 2/3, else 2."""
        return 3 if math.isclose(self.r_2, 2.0 / 3.0) else 2

    def rows(self, grid: Grid) -> Rows:
        """Three stages per step, one at the ends named above.

        Raises:
            InvalidInput: the grid knows no path between its points.
        """
        return _rows(grid, SingleStep(Drift(Estimate.NOISE), self.form), (self.r_1, self.r_2))
