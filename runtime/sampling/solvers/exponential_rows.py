"""Rows of exponential Adams methods: one stage per step, whatever the estimate.

A corrector needs the estimate at its step's end, which the next stage asks for. So each row keeps
what the corrector has so far in a register and the next row completes it: no further evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import NamedTuple

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.basis import Basis, Vector
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Program, Rows, check_start
from denoisert.runtime.sampling.solvers.dpm import Estimate
from denoisert.runtime.sampling.solvers.exponential import Slope, Span, Update


class Step(NamedTuple):
    """One step: how it is predicted and, once its end has been evaluated, corrected."""

    predictor: Update
    corrector: Update | None = None


def falling(order: int, step: int, steps: int) -> int:
    """The order of a step that rises from 1 at the start and falls to 1 at the end."""
    return min(order, step + 1, steps - step)


def earlier(grid: Grid, step: int, count: int) -> list[Point]:
    """The last `count` points before a step's start, newest first; fewer near the grid's start."""
    return [grid[step - back] for back in range(1, min(count, step) + 1)]


def check_order(name: str, value: int, highest: int, lowest: int = 1) -> None:
    """Refuse an order outside its range.

    Raises:
        InvalidInput: it is not a whole number from lowest to highest.
    """
    if not isinstance(value, Integral) or not lowest <= value <= highest:
        raise InvalidInput(f"{name} {value!r} must be a whole number from {lowest} to {highest}.")


def check_count(name: str, value: int) -> None:
    """Refuse what is no count.

    Raises:
        InvalidInput: it is not a whole number of at least 0.
    """
    if not isinstance(value, int) or value < 0:
        raise InvalidInput(f"{name} {value!r} must be a whole number, 0 or more.")


def check_slope(grid: Grid, slope: Slope) -> None:
    """Refuse BH1 on a grid with a step of infinite length.

    Raises:
        InvalidInput: B(h) = h would be infinite.
    """
    is_endless = grid[grid.steps].sigma == 0.0 or grid[0].alpha == 0.0
    if slope is Slope.BH1 and is_endless:
        raise InvalidInput(
            "Slope.BH1 weighs by h, the length of a step in half the log SNR, and this grid has a "
            "step of infinite length (from alpha = 0 or to sigma = 0). Use Slope.BH2, or a grid "
            "that starts below pure noise and ends above sigma = 0, such as Trailing(Final.LAST)."
        )


def multistep(grid: Grid, estimate: Estimate, steps: Sequence[Step]) -> Rows:
    """Rows of a predictor-corrector method, one stage per step.

    Registers: the latent, what a corrector has before its new estimate, and earlier estimates.

    Args:
        grid: N steps.
        estimate: which estimate P is.
        steps: N of them; the last is not corrected.
    """
    updates = [update for step in steps for update in step if update]
    depth = max(len(update.gains) for update in updates) - 1
    waiting = int(any(step.corrector for step in steps))
    program = Program(grid, 1 + waiting + depth)
    basis = program.basis
    latent, *others = basis.registers
    history = others[waiting:]
    newest = basis.denoised if estimate is Estimate.CLEAN else basis.noise
    ahead = None
    for index, step in enumerate(steps):
        current = latent if ahead is None else others[0] + ahead * newest
        past = [newest, *history]
        new = [_applied(step.predictor, current, past, basis)]
        if waiting:
            new.append(_applied(step.corrector, current, past, basis))
        program.stage(grid[index], [*new, *past[:depth]])
        ahead = step.corrector.ahead if step.corrector else None
    return program.rows()


def _applied(update: Update | None, latent: Vector, past: Sequence[Vector], basis: Basis) -> Vector:
    """All of an update that is known before its step's end."""
    if update is None:
        return np.zeros(basis.width)
    found = update.keep * latent + update.clean * basis.denoised + update.spread * basis.draws[0]
    for gain, estimate in zip(update.gains, past, strict=False):
        found = found + gain * estimate
    return found


def adams_bashforth(grid: Grid, estimate: Estimate, order: int, lower_order_below: int) -> Rows:
    """Exponential Adams-Bashforth: one stage per step, orders 1, 2, .. at its beginning.

    Args:
        grid: N steps.
        estimate: which one the polynomial runs through.
        order: of the whole steps.
        lower_order_below: the last steps have orders .., 2, 1 if N is less than this.
    """
    check_start(grid)
    ending = grid.steps if grid.steps < lower_order_below else grid.steps + order
    steps = []
    for step in range(grid.steps):
        span = Span(grid[step], grid[step + 1], estimate)
        steps.append(Step(span.predictor(earlier(grid, step, falling(order, step, ending) - 1))))
    return multistep(grid, estimate, steps)
