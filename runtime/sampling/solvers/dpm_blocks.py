"""Single-step DPM solvers over blocks of a grid: asked at its points, one evaluation per step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.compat import Compat
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Program, Rows
from denoisert.runtime.sampling.solvers.dpm import (
    Drift,
    Ending,
    Estimate,
    Form,
    check_noise,
    is_end,
)
from denoisert.runtime.sampling.solvers.dpm_step import SingleStep

LARGEST = 3


def block_sizes(steps: int, size: int, ending: Ending) -> list[int]:
    """How many steps of a grid make each block; a block of n steps has order n.

    LOWERED: whole blocks, then a shorter one: of what remains, or where nothing does, the last
    block gives way to 1 and 1 (size 2) or 2 and 1 (size 3). FULL: whole blocks alone.

    Args:
        steps: N.
        size: 1, 2 or 3.
        ending: whether whole blocks must fit.

    Raises:
        InvalidInput: FULL, and steps that whole blocks do not fill.

    Source: diffusers 0.42.1, DPMSolverSinglestepScheduler.get_order_list.
    """
    if ending is Ending.FULL:
        if steps % size:
            raise InvalidInput(
                f"{steps} steps are no whole number of blocks of {size}. Ask for a multiple of "
                f"{size}, or Ending.LOWERED."
            )
        return [size] * (steps // size)
    whole, rest = divmod(steps - 1, size)
    if size == 2 and rest == 1:
        return [2] * whole + [1, 1]
    if size == 3 and rest == 2:
        return [3] * whole + [2, 1]
    return [size] * whole + ([rest + 1] if rest else [1])


def _blocks(grid: Grid, size: int, ending: Ending) -> list[int]:
    """The blocks of a grid; a step with an infinite end is a block of its own."""
    head = [1] if is_end(grid[0]) else []
    if ending is Ending.FULL and is_end(grid[grid.steps]):
        raise InvalidInput(
            "whole blocks cannot end without noise, at sigma = 0. Use Ending.LOWERED, or a grid "
            "that ends earlier (Final.LAST)."
        )
    left = grid.steps - len(head)
    sizes = head + (block_sizes(left, size, ending) if left else [])
    if sizes[-1] > 1 and is_end(grid[grid.steps]):
        sizes[-1:] = [sizes[-1] - 1, 1]
    return sizes


def _rows(grid: Grid, single: SingleStep, size: int, ending: Ending) -> Rows:
    sizes = _blocks(grid, size, ending)
    most = max(sizes)
    deterministic = min(most, 2)
    program = Program(grid, registers=most if single.drift.eta else deterministic)
    step = 0
    for count in sizes:
        points = [grid[step + i] for i in range(count + 1)]
        single.write(program, points[:-1], points[-1], [1] * count)
        step += count
    return program.rows()


def _check_size(solver: object, size: int) -> None:
    if not isinstance(size, int) or not 1 <= size <= LARGEST:
        raise InvalidInput(f"{solver}: size {size!r} must be 1, 2 or {LARGEST} steps of the grid.")


@dataclass(frozen=True, slots=True)
@checked
class DPMppBlocks:
    """DPM-Solver++ single-step over blocks: `size` steps of the grid are one step of that order.

    The steps are those of DPMpp2S and DPMpp3S, but the evaluations inside a block lie at the points
    of the grid, wherever those are, so N steps take N evaluations.

    Order `size`, one evaluation per step; slopes are new in each block. size 1 is DDIM(). Blocks of
    3 have order 3 where their points are even in log SNR, or nearly so as on a fine smooth grid. A
    run ends in lower order (12 steps in blocks of 3, 3, 3, 2, 1), as one into sigma = 0 must; a
    last step of order 1 errs by the square of its own length.

    In diffusers DPMSolverSinglestepScheduler with "dpmsolver++". Not DPMpp2S and DPMpp3S, which ask
    between the points; not DPMpp2M.

    Args:
        size: 1, 2 or 3.
        form: of the steps; in blocks of 3 also of the step to the third point.
        ending: FULL has whole blocks alone, `lower_order_final=False` in diffusers.

    Raises:
        InvalidInput: another size.

    Source: Lu et al. 2022, arXiv 2211.01095, algorithm 1; diffusers 0.42.1.
    """

    evaluations_per_step: ClassVar[int] = 1

    size: int = 2
    form: Form = Form.MIDPOINT
    ending: Ending = Ending.LOWERED

    def __post_init__(self) -> None:
        _check_size(self, self.size)

    @property
    def order(self) -> int:
        """The size of a block."""
        return self.size

    def rows(self, grid: Grid) -> Rows:
        """One stage per step.

        Raises:
            InvalidInput: Ending.FULL on a grid that whole blocks do not fill or that ends at 0.
        """
        single = SingleStep(Drift(Estimate.CLEAN), self.form, self.form)
        return _rows(grid, single, self.size, self.ending)


@dataclass(frozen=True, slots=True)
@checked
class DPMSolverBlocks:
    """DPM-Solver single-step over blocks: DPMppBlocks on the noise estimate.

    The steps are those of DPMSolver2 and DPMSolver3 with evaluations at the points of the grid.
    Order `size`, one evaluation per step. size 1 is DDIM(). Steps out of alpha_t = 0 and into
    sigma_s = 0 are alpha_s D + sigma_s E. In diffusers DPMSolverSinglestepScheduler with
    "dpmsolver", where the run may not end at sigma = 0.

    Args:
        size: 1, 2 or 3.
        form: of the steps; in blocks of 3 also of the step to the third point.
        ending: FULL has whole blocks alone.

    Raises:
        InvalidInput: another size.

    Source: Lu et al. 2022, arXiv 2206.00927, algorithms 1 and 2; diffusers 0.42.1.
    """

    evaluations_per_step: ClassVar[int] = 1

    size: int = 2
    form: Form = Form.MIDPOINT
    ending: Ending = Ending.LOWERED

    def __post_init__(self) -> None:
        _check_size(self, self.size)

    @property
    def order(self) -> int:
        """The size of a block."""
        return self.size

    def rows(self, grid: Grid) -> Rows:
        """One stage per step.

        Raises:
            InvalidInput: Ending.FULL on a grid that whole blocks do not fill or that ends at 0.
        """
        single = SingleStep(Drift(Estimate.NOISE), self.form, self.form)
        return _rows(grid, single, self.size, self.ending)


@dataclass(frozen=True, slots=True)
@checked
class DPMppBlocksSDE:
    """SDE-DPM-Solver++ single-step over blocks: DPMppBlocks with noise.

    Each point of a block is reached from the block's start with noise of its own, which the block's
    end knows nothing of; so its weak order is 1 whatever the size. One evaluation and one draw per
    step. eta = 0 is DPMppBlocks. DPMpp2MSDE is better at the same cost.

    In diffusers DPMSolverSinglestepScheduler with "sde-dpmsolver++". Compat.DIFFUSERS takes
    w_2 - 1 for w_2 in blocks of 3 with HEUN, as diffusers 0.42.1 does, which subtracts 1/2 where it
    should add it; those runs diverge. Not DPMppSDE, whose two noises belong to one Brownian path.

    Args:
        size: 1, 2 or 3.
        form: of the steps; in blocks of 3 also of the step to the third point.
        ending: FULL has whole blocks alone.
        eta: 0 deterministic, 1 the reverse SDE; larger is more noise still.
        noise_scale: factor of the fresh noise alone; 1 is the right variance.
        compat: whose weight of m''.

    Raises:
        InvalidInput: a number outside its range.

    Source: Lu et al. 2022, arXiv 2211.01095, section 5; diffusers 0.42.1.
    """

    evaluations_per_step: ClassVar[int] = 1

    size: int = 2
    form: Form = Form.MIDPOINT
    ending: Ending = Ending.LOWERED
    eta: float = 1.0
    noise_scale: float = 1.0
    compat: Compat = Compat.PAPER

    def __post_init__(self) -> None:
        _check_size(self, self.size)
        check_noise(self, self.eta, self.noise_scale)

    @property
    def order(self) -> int:
        """1 with noise, else the size of a block."""
        return 1 if self.eta else self.size

    def rows(self, grid: Grid) -> Rows:
        """One stage per step.

        Raises:
            InvalidInput: Ending.FULL on a grid that whole blocks do not fill or that ends at 0.
        """
        drift = Drift(Estimate.CLEAN, self.eta, self.noise_scale, self.compat)
        single = SingleStep(drift, self.form, self.form)
        return _rows(grid, single, self.size, self.ending)
