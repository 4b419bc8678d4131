"""UniPC: a predictor and a corrector that needs no evaluation of its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Rows, check_start
from denoisert.runtime.sampling.solvers.dpm import Ending, Estimate
from denoisert.runtime.sampling.solvers.exponential import Slope, Span
from denoisert.runtime.sampling.solvers.exponential_rows import (
    Step,
    check_order,
    check_slope,
    earlier,
    falling,
    multistep,
)


class Corrector(Enum):
    """Whether steps are corrected: UniPC (ON) or its predictor alone, UniP (OFF)."""

    ON = "on"
    OFF = "off"

    def __repr__(self) -> str:
        return f"Corrector.{self.name}"


@dataclass(frozen=True, slots=True)
@checked
class UniPC:
    """UniPC of order p: predictor UniP-p, corrector UniC-p, one evaluation per step.

    UniP   x_s  = keep x_t + sum_i a_i P_i
    UniC   x_s' = keep x_t + sum_i b_i P_i + b P_s,  P_s the estimate at the predicted x_s

    with the exact integrals a and b of polynomials through the last p points (and s), see
    `exponential`; only where two points remain, in UniP-2 and UniC-1, the slope weighs B(h) / 2.
    So UniP-3 is RES(3), UniP-1 is DDIM, and B matters in those two alone. P is the clean estimate,
    or the noise estimate as in the paper's first form.

    Measured order p + 1 with the corrector and p without it, where the last steps have full order
    (`order` is p): a last step of order 1 errs by the square of its length, so LOWERED, the usual
    choice for few steps, has order 2 unless that step is short. A step out of alpha = 0 or into
    sigma = 0 has order 1.

    Also called "uni_pc" (BH1) and "uni_pc_bh2"; diffusers' `lower_order_final` is LOWERED, its
    `disable_corrector` is `uncorrected`, its `predict_x0=False` is Estimate.NOISE.

    Args:
        order: p, 1 to 3; its corrector has order p + 1.
        slope: B(h), BH1 or BH2; EXACT takes the exact integral there, too.
        estimate: which estimate P is.
        corrector: ON, or OFF for UniP.
        uncorrected: steps, counted from 0, that are not corrected.
        ending: orders of the last steps.

    Raises:
        InvalidInput: a value outside its range.

    Source: Zhao et al. 2023, arXiv 2302.04867; diffusers 0.42.1,
    UniPCMultistepScheduler (B where two points remain).
    """

    evaluations_per_step: ClassVar[int] = 1

    order: int = 2
    slope: Slope = Slope.BH2
    estimate: Estimate = Estimate.CLEAN
    corrector: Corrector = Corrector.ON
    uncorrected: tuple[int, ...] = ()
    ending: Ending = Ending.LOWERED

    def __post_init__(self) -> None:
        check_order("order", self.order, 3)
        if any(not isinstance(step, int) or step < 0 for step in self.uncorrected):
            raise InvalidInput(f"uncorrected {self.uncorrected} must hold steps, 0 or more.")
        if self.uncorrected and self.corrector is Corrector.OFF:
            raise InvalidInput(
                f"uncorrected {self.uncorrected} beside Corrector.OFF, which corrects no step. "
                "Leave one of them out."
            )

    def rows(self, grid: Grid) -> Rows:
        """One stage per step.

        Raises:
            InvalidInput: BH1 and a step of infinite length.
        """
        check_start(grid)
        check_slope(grid, self.slope)
        steps = [self._step(grid, step) for step in range(grid.steps)]
        return multistep(grid, self.estimate, steps)

    def _step(self, grid: Grid, step: int) -> Step:
        ending = grid.steps if self.ending is Ending.LOWERED else grid.steps + self.order
        span = Span(grid[step], grid[step + 1], self.estimate, slope=self.slope)
        past = earlier(grid, step, falling(self.order, step, ending) - 1)
        is_corrected = (
            self.corrector is Corrector.ON
            and step not in self.uncorrected
            and step < grid.steps - 1
        )
        return Step(span.predictor(past), span.corrector(past) if is_corrected else None)
