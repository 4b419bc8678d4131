"""Some of the points of a longer run, as those that a few-step network was distilled at."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules.karras import Karras
from denoisert.runtime.sampling.schedules.schedule import NoiseSchedule
from denoisert.runtime.sampling.schedules.spacing import Spacing, check_steps


@dataclass(frozen=True, slots=True)
@checked
class Thinned:
    """Every (kept // N)-th of the points that another spacing visits in `kept` steps.

    The first is the noise end's, the last the other spacing's final point, so a run of one step
    goes from end to end. For networks that know no points but those: Thinned(Karras(7, 0.002, 80))
    has the levels of consistency models. Not Distilled, whose points are whole train times.

    Args:
        spacing: of the longer run.
        kept: its steps, at least 1.

    Raises:
        InvalidInput: kept is no whole number of at least 1.

    Source: Song et al. 2023, arXiv 2303.01469, section 3; CMStochasticIterativeScheduler of
    diffusers 0.42.1.
    """

    spacing: Spacing = field(default_factory=Karras)
    kept: int = 40

    def __post_init__(self) -> None:
        if type(self.kept) is not int or self.kept < 1:
            raise InvalidInput(f"{self} must keep a whole number of points, at least 1.")

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: more steps than kept points, or what the other spacing refuses.
        """
        check_steps(steps, self.kept)
        longer = self.spacing.grid(schedule, self.kept)
        chosen = np.append(np.arange(steps) * (self.kept // steps), self.kept)
        return replace(
            longer,
            alpha=longer.alpha[chosen],
            sigma=longer.sigma[chosen],
            model_time=longer.model_time[chosen],
        )
