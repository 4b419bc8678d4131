"""Multistep DPM solvers: slopes of the estimate from earlier steps, one evaluation per step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Program, Rows
from denoisert.runtime.sampling.solvers.dpm import (
    Drift,
    Ending,
    Estimate,
    Form,
    is_end,
    length,
)
from denoisert.runtime.sampling.solvers.inversion import Told, upward


def extrapolation(
    weights: Sequence[float], ratios: Sequence[float], form: Form
) -> tuple[float, ...]:
    """What earlier estimates add to a step of order 1, as factors of m_0, m_1, .., newest first.

    The slopes are d_i = ratio_i (m_i - m_{i+1}), ratio_i = h / h_i with h_i the step that ended
    at m_i:

        two points     m' = d_0
        three points   m' = d_0 + ratio_1 / (ratio_0 + ratio_1) (d_0 - d_1)
                       m'' = ratio_0 ratio_1 / (ratio_0 + ratio_1) (d_0 - d_1)

    Args:
        weights: factors of m_0, m' and m'' in x_s.
        ratios: one or two; 0 where a step was infinite.
        form: of two points.
    """
    first, second, third = weights
    if len(ratios) == 1:
        ahead = ratios[0] * (second if form is Form.HEUN else 0.5 * first)
        return ahead, -ahead
    near, far = ratios
    bend = far * (second + near * third) / (near + far)
    newest, oldest = near * (second + bend), far * bend
    return newest, -(newest + oldest), oldest


class Multistep(ABC):
    """What all of them share: the order of every step, and rows that keep the last estimates.

    Step i has order min(i + 1, points). The last one has order 1 if it ends at sigma = 0, if the
    grid has fewer steps than lower_order_below, or with Ending.LOWERED; below that number of steps
    the last but one has order 2 at most.
    """

    __slots__ = ()

    order: ClassVar[int] = 2
    evaluations_per_step: ClassVar[int] = 1
    points: ClassVar[int]  # estimates that a step uses, at most

    lower_order_below: int
    form: Form
    ending: Ending

    @property
    @abstractmethod
    def drift(self) -> Drift:
        """The exact part of its steps."""

    def check(self) -> None:
        """Refuse a lower_order_below that is no number of steps.

        Raises:
            InvalidInput: not a whole number of at least 0.
        """
        if not isinstance(self.lower_order_below, int) or self.lower_order_below < 0:
            raise InvalidInput(
                f"lower_order_below {self.lower_order_below!r} must be a whole number, 0 or more."
            )

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        path = [grid[i] for i in range(grid.steps + 1)]
        orders = [self._order(path, step) for step in range(grid.steps)]
        program = Program(grid, registers=max(orders))
        self._walk(program, path, path, orders)
        return program.rows()

    def inverse_rows(self, grid: Grid, told: Told) -> Rows:
        """The same steps from the last point up, see `Inverse`; approximate, as DDIM's.

        Raises:
            InvalidInput: the solver draws noise.
        """
        if self.drift.eta:
            raise InvalidInput(f"{self} cannot be inverted, as it draws noise. Use DPMpp2M().")
        path = [grid[i] for i in reversed(range(grid.steps + 1))]
        asked = [upward(low, high, told) for low, high in pairwise(path)]
        orders = [self._order(path, step) for step in range(grid.steps)]
        program = Program.from_source(grid, registers=max(orders))
        self._walk(program, path, asked, orders)
        return program.rows()

    def _walk(
        self,
        program: Program,
        path: Sequence[Point],
        asked: Sequence[Point],
        orders: Sequence[int],
    ) -> None:
        """Steps of given orders along a path, the network asked at points of their own."""
        basis, drift = program.basis, self.drift
        _, *history = basis.registers
        for step, order in enumerate(orders):
            now, after = path[step], path[step + 1]
            estimates = [drift.column(basis), *history]
            x = drift.first(basis, now, after)
            if order > 1:
                h = length(now, after)
                ratios = [h / length(*path[step - 1 - i : step + 1 - i]) for i in range(order - 1)]
                added = extrapolation(drift.weights(now, after), ratios, self.form)
                x = x + sum(w * m for w, m in zip(added, estimates, strict=False))
            program.stage(asked[step], [x, *estimates[: len(history)]])

    def _order(self, path: Sequence[Point], step: int) -> int:
        """Order of one step."""
        steps = len(path) - 1
        is_short = steps < self.lower_order_below
        order, left = min(step + 1, self.points), steps - 1 - step
        is_lowered = left == 0 and (is_short or self.ending is Ending.LOWERED)
        if is_lowered or is_end(path[step + 1]):
            return 1
        return min(order, 2) if is_short and left == 1 else order


@dataclass(frozen=True, slots=True)
@checked
class DPMpp2M(Multistep):
    """DPM-Solver++(2M): second order, multistep, one evaluation per step.

    x_s = (sigma_s / sigma_t) x_t - alpha_s expm1(-h) ((1 + 1/(2r)) d_0 - 1/(2r) d_1),
    h = half_logsnr_s - half_logsnr_t, r = h_previous / h, d_i the clean estimates, newest first.

    Order 2, history 1. The first step has order 1 (only d_0), and so has the last one if it ends at
    sigma_s = 0 or there are few steps. -alpha_s expm1(-h) is written
    alpha_s - alpha_t sigma_s / sigma_t, which is finite at alpha_t = 0; there h is infinite and the
    following step has 1/r = 0, the limit. Order 2 is meant in log SNR: times that run evenly down
    to t = 0 do not refine its last steps, and the error falls like log(N) / N^2.

    Also called "DPM++ 2M"; in diffusers "dpmsolver++" of order 2; order 1 is DDIM(). Not
    DPMSolver2M (noise estimate), DPMpp2S (single step), DPMpp2MSDE.

    Args:
        lower_order_below: the last step has order 1 if the grid has fewer steps than this; 0 never.
        form: MIDPOINT as above; HEUN weighs (d_0 - d_1) / r by 1 + expm1(-h) / h.
        ending: LOWERED gives the last step order 1 always, diffusers' `euler_at_final`.

    Raises:
        InvalidInput: lower_order_below is not a whole number of at least 0.

    Source: Lu et al. 2022, arXiv 2211.01095, algorithm 2; HEUN: diffusers 0.42.1,
    DPMSolverMultistepScheduler.
    """

    points: ClassVar[int] = 2

    lower_order_below: int = 15
    form: Form = Form.MIDPOINT
    ending: Ending = Ending.FULL

    def __post_init__(self) -> None:
        self.check()

    @property
    def drift(self) -> Drift:
        """D, without noise."""
        return Drift(Estimate.CLEAN)


@dataclass(frozen=True, slots=True)
@checked
class DPMpp3M(Multistep):
    """DPM-Solver++(3M): three clean estimates, multistep, one evaluation per step.

    x_s = (sigma_s / sigma_t) x_t + alpha_s (w_0 d_0 + w_1 m' + w_2 m''), see `extrapolation`

    History 2. Order 2, not 3: all published code gives the coefficient m'' of y^2 the weight w_2
    of a second derivative, half of its own, so estimates along a parabola are not integrated
    exactly. Its error is a fraction of DPMpp2M's. The exponential Adams method of three points has
    order 3.

    Also called "DPM++ 3M". Not DPMpp3S (single step), DPMpp3MSDE.

    Args:
        lower_order_below: in a grid of fewer steps the last two have orders 2 and 1; 0 never.
        form: of steps of order 2.
        ending: LOWERED gives the last step order 1 always.

    Raises:
        InvalidInput: lower_order_below is not a whole number of at least 0.

    Source: Lu et al. 2022, arXiv 2211.01095, published code; diffusers 0.42.1,
    DPMSolverMultistepScheduler.
    """

    points: ClassVar[int] = 3

    lower_order_below: int = 15
    form: Form = Form.MIDPOINT
    ending: Ending = Ending.FULL

    def __post_init__(self) -> None:
        self.check()

    @property
    def drift(self) -> Drift:
        """D, without noise."""
        return Drift(Estimate.CLEAN)


@dataclass(frozen=True, slots=True)
@checked
class DPMSolver2M(Multistep):
    """DPM-Solver (2M): DPMpp2M on noise estimates.

    x_s = (alpha_s / alpha_t) x_t - sigma_s expm1(h) ((1 + 1/(2r)) e_0 - 1/(2r) e_1)

    Order 2, history 1, one evaluation per step. Steps out of alpha_t = 0 and into sigma_s = 0 are
    alpha_s D + sigma_s E. In diffusers "dpmsolver" of order 2, where the run may not end at
    sigma = 0. Not DPMSolver2, which takes one step at a time.

    Args:
        lower_order_below: the last step has order 1 if the grid has fewer steps than this; 0 never.
        form: MIDPOINT as above; HEUN weighs -(e_0 - e_1) / r by sigma_s (expm1(h) / h - 1).
        ending: LOWERED gives the last step order 1 always.

    Raises:
        InvalidInput: lower_order_below is not a whole number of at least 0.

    Source: Lu et al. 2022, arXiv 2206.00927, published code; diffusers 0.42.1,
    DPMSolverMultistepScheduler.
    """

    points: ClassVar[int] = 2

    lower_order_below: int = 15
    form: Form = Form.MIDPOINT
    ending: Ending = Ending.FULL

    def __post_init__(self) -> None:
        self.check()

    @property
    def drift(self) -> Drift:
        """E, without noise."""
        return Drift(Estimate.NOISE)


@dataclass(frozen=True, slots=True)
@checked
class DPMSolver3M(Multistep):
    """DPM-Solver (3M): DPMpp3M on noise estimates.

    x_s = (alpha_s / alpha_t) x_t + sigma_s (w_0 e_0 + w_1 m' + w_2 m''), see `extrapolation`

    History 2, one evaluation per step; order 2 for the reason that DPMpp3M names. Not DPMSolver3,
    which takes one step at a time.

    Args:
        lower_order_below: in a grid of fewer steps the last two have orders 2 and 1; 0 never.
        form: of steps of order 2.
        ending: LOWERED gives the last step order 1 always.

    Raises:
        InvalidInput: lower_order_below is not a whole number of at least 0.

    Source: Lu et al. 2022, arXiv 2206.00927, published code; diffusers 0.42.1,
    DPMSolverMultistepScheduler.
    """

    points: ClassVar[int] = 3

    lower_order_below: int = 15
    form: Form = Form.MIDPOINT
    ending: Ending = Ending.FULL

    def __post_init__(self) -> None:
        self.check()

    @property
    def drift(self) -> Drift:
        """E, without noise."""
        return Drift(Estimate.NOISE)
