"""DPM-Solver-v3: a multistep method whose coefficients are arrays, from a network's statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.basis import Basis, ExternalMap, Term, Vector
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Program, Rows
from denoisert.runtime.sampling.solvers.dpm import Ending
from denoisert.runtime.sampling.solvers.dpm_v3_arrays import Derivatives, Update, update
from denoisert.runtime.sampling.solvers.exponential_rows import check_order, falling
from denoisert.runtime.sampling.solvers.model_statistics import Array, Statistics
from denoisert.runtime.sampling.solvers.unipc import Corrector

STEP, CORRECTION = "v3_step", "v3_correction"
WAITING, LINEAR = "v3_waiting", "v3_linear"


class _Plan(NamedTuple):
    """One step: points before its end that predictor and corrector take; 0 is no correction."""

    predicted: int
    corrected: int
    is_completed: bool  # whether the step before was corrected, and this stage completes it


@dataclass(frozen=True, slots=True)
@checked
class DPMSolverV3:
    """DPM-Solver-v3: order 1 to 3, one evaluation per step, coefficients per element.

    With the statistics l, s, b of a network and integrals from lambda_t on,

    x_s = (alpha_s / alpha_t) e^-L x_t - alpha_s e^-L (I g_0 + C + sum_n J_n g^(n))
    f_i = (sigma_i E_i - l_i x_i) / alpha_i,  g_i = e^-S_i f_i - B_i
    L = int l,  S = int s,  B = int e^-S b,  I = int e^(L+S),  C = int e^(L+S) B,
    J_n = int e^(L+S) (lambda - lambda_t)^n / n!

    and g^(n) from the values at earlier points. The corrector takes the update again with f at its
    end, which the next stage asks for. With l = 1 and s = b = 0 it is RES(order), but for the
    trapezoids over the levels of the statistics.

    Its rows read the arrays as externals that `externals` makes of the statistics, one page per
    step; they hold for one network, guidance and grid.

    Args:
        order: 1 to 3.
        corrector: OFF or ON; a step of order 1 is corrected with DIVIDED derivatives alone.
        derivatives: of the predictor.
        corrector_derivatives: of the corrector; DIVIDED takes one point more.
        ending: orders of the last steps.

    Raises:
        InvalidInput: an order outside 1 to 3.

    Source: Zheng et al. 2023, arXiv 2310.13268; published code, DPM_Solver_v3.
    """

    evaluations_per_step: ClassVar[int] = 1

    order: int = 3
    corrector: Corrector = Corrector.OFF
    derivatives: Derivatives = Derivatives.FITTED
    corrector_derivatives: Derivatives = Derivatives.FITTED
    ending: Ending = Ending.LOWERED

    def __post_init__(self) -> None:
        check_order("order", self.order, 3)

    def rows(self, grid: Grid) -> Rows:
        """One stage per step.

        Raises:
            InvalidInput: a grid from alpha = 0 or to sigma = 0, where no statistics reach.
        """
        plan = self._plan(grid)
        waiting, depth = any(part.corrected for part in plan), _depth(plan)
        program = Program(grid, 1 + waiting + depth, _names(plan))
        basis = program.basis
        history = basis.registers[1 + waiting :]
        for step, part in enumerate(plan):
            point, line = grid[step], _Line(basis, step)
            new = [line.update(0, STEP, part.predicted, part.is_completed, history)]
            if part.corrected:
                new.append(line.update(1, CORRECTION, part.corrected, part.is_completed, history))
            elif waiting:
                new.append(np.zeros(basis.width))
            if depth:
                line.add(len(new), LINEAR, basis.registers[0], -1.0 / point.alpha)
                new += [point.sigma / point.alpha * basis.noise, *history[:-1]]
            program.stage(point, new, products=line.terms, pages=line.pages)
        return program.rows()

    def externals(self, grid: Grid, statistics: Statistics) -> dict[str, Array]:
        """The arrays that the rows of a grid read: name -> (pages, elements).

        Args:
            grid: that of `rows`.
            statistics: of the network with its guidance, on levels that hold the grid's.

        Raises:
            InvalidInput: a grid that reaches outside the statistics.
        """
        plan = self._plan(grid)
        shape = grid.steps, statistics.linear.shape[1]
        found = {name: np.zeros(shape) for name in _names(plan)}
        ahead: Array | None = None
        for step, part in enumerate(plan):
            past = list(range(step, step - max(part.predicted, part.corrected), -1))
            linear = statistics.at(grid[step].half_logsnr)[0]
            arrays = _Arrays(found, grid, step, linear, ahead)
            first = past[: part.predicted]
            arrays.fill(STEP, update(grid, step, first, statistics, self.derivatives))
            ahead = None
            if part.corrected:
                nodes = [step, step + 1, *past[1 : part.corrected]]
                whole = update(grid, step, nodes, statistics, self.corrector_derivatives)
                ahead = whole.gains.pop(1)
                arrays.fill(CORRECTION, whole)
            if LINEAR in found:
                found[LINEAR][step] = linear
        return found

    def _plan(self, grid: Grid) -> list[_Plan]:
        if grid[0].alpha == 0.0 or grid[grid.steps].sigma == 0.0:
            raise InvalidInput(
                f"{self} integrates statistics of finite levels; this grid starts at alpha = 0 or "
                "ends at sigma = 0. Use one inside the statistics, such as Karras(final=Final.LAST)"
                ", or DPMpp3M()."
            )
        plan, is_completed = [], False
        ending = grid.steps + (self.order if self.ending is Ending.FULL else 0)
        for step in range(grid.steps):
            order = falling(self.order, step, ending)
            more = order + (self.corrector_derivatives is Derivatives.DIVIDED)
            is_last = step == grid.steps - 1
            is_corrected = self.corrector is Corrector.ON and more > 1 and not is_last
            plan.append(_Plan(order, more - 1 if is_corrected else 0, is_completed))
            is_completed = is_corrected
        return plan


class _Line:
    """The products of one stage and the pages that they read."""

    def __init__(self, basis: Basis, step: int) -> None:
        self.terms: list[Term] = []
        self.pages: dict[int, int] = {}
        self._basis, self._step = basis, step

    def add(self, register: int, name: str, source: Vector, gain: float = 1.0) -> None:
        """R'_register += gain * array * source."""
        where = ExternalMap(self._page(name))
        self.terms.append(Term(register, gain, where, source))

    def update(
        self, register: int, kind: str, points: int, is_completed: bool, history: tuple[Vector, ...]
    ) -> Vector:
        """The products of one update; returns what it adds without a product."""
        basis = self._basis
        self.add(register, f"{kind}_latent", basis.registers[0])
        self.add(register, f"{kind}_noise", basis.noise)
        if is_completed:
            self.add(register, WAITING, basis.registers[1])
        for back in range(1, points):
            self.add(register, f"{kind}_past_{back}", history[back - 1])
        return basis.external(self._page(f"{kind}_bias"))

    def _page(self, name: str) -> int:
        position = self._basis.externals.index(name)
        self.pages[position] = self._step
        return position


class _Arrays(NamedTuple):
    """Where one step writes its arrays.

    ahead: gain of f at this step's start in the correction that its stage completes.
    """

    found: dict[str, Array]
    grid: Grid
    step: int
    linear: Array
    ahead: Array | None

    def fill(self, kind: str, whole: Update) -> None:
        """With f_0 = (sigma E - l R_0) / alpha and x = R_0, or R_1 + ahead f_0 to complete it."""
        point, found, step = self.grid[self.step], self.found, self.step
        gain = whole.gains[0]
        latent = whole.keep
        if self.ahead is not None:
            gain = gain + whole.keep * self.ahead
            latent, found[WAITING][step] = 0.0 * whole.keep, whole.keep
        found[f"{kind}_latent"][step] = latent - gain * self.linear / point.alpha
        found[f"{kind}_noise"][step] = gain * point.sigma / point.alpha
        found[f"{kind}_bias"][step] = whole.bias
        for back, past in enumerate(whole.gains[1:], 1):
            found[f"{kind}_past_{back}"][step] = past


def _depth(plan: list[_Plan]) -> int:
    """Earlier f that are kept."""
    return max(max(part.predicted, part.corrected) for part in plan) - 1


def _names(plan: list[_Plan]) -> tuple[str, ...]:
    predicted = max(part.predicted for part in plan)
    corrected = max(part.corrected for part in plan)
    names = []
    for kind, points in ((STEP, predicted), (CORRECTION, corrected)):
        if points:
            names += [f"{kind}_{part}" for part in ("latent", "noise", "bias")]
            names += [f"{kind}_past_{back}" for back in range(1, points)]
    if corrected:
        names.append(WAITING)
    if _depth(plan):
        names.append(LINEAR)
    return tuple(names)
