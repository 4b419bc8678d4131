"""One run divided between two networks at a noise level: its steps before, and those after.

Both parts name the same spacing, so the point where the first ends is the one where the second
begins: `Before(spacing, level)`, then `After(spacing, level)` from the latent that it leaves, with
Start(latent, noised=Noised.ALREADY).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules.even import Trailing
from denoisert.runtime.sampling.schedules.schedule import NoiseSchedule
from denoisert.runtime.sampling.schedules.spacing import Spacing, pinned_steps

NEARLY = 1e-9  # relative: a level that is a point's own, but for rounding, is that point's


@dataclass(frozen=True, slots=True)
@checked
class Before:
    """The steps that begin at a noise level or above it; the latent is left where they end.

    The solver steps as if the run went on, so an ensemble's first half is the first half of the
    whole run, bit for bit. `denoising_end` of diffusers, whose share of the training times names
    the level: schedule.at(time) gives it as sigma / alpha.

    Args:
        spacing: of the whole run.
        level: sigma / alpha, above 0 and finite.

    Raises:
        InvalidInput: a level that is not finite and above 0.

    Source: Balaji et al. 2022, arXiv 2211.01324, section 3 (ensemble of expert denoisers).
    """

    spacing: Spacing = field(default_factory=Trailing)
    level: float = 1.0

    def __post_init__(self) -> None:
        _check_level(self.level)

    @property
    def steps(self) -> int | None:
        """Those that the spacing is pinned to."""
        return pinned_steps(self.spacing)

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of the whole run, of which the first steps are taken.

        Raises:
            InvalidInput: no step lies before the level, or none after it.
        """
        whole = self.spacing.grid(schedule, steps)
        return replace(whole, stop=_steps_before(self, whole, self.level))


@dataclass(frozen=True, slots=True)
@checked
class After:
    """The steps that begin below a noise level, from a latent that lies there already.

    `denoising_start` of diffusers; see `Before`.

    Args:
        spacing: of the whole run.
        level: sigma / alpha, above 0 and finite.

    Raises:
        InvalidInput: a level that is not finite and above 0.
    """

    spacing: Spacing = field(default_factory=Trailing)
    level: float = 1.0

    def __post_init__(self) -> None:
        _check_level(self.level)

    @property
    def steps(self) -> int | None:
        """Those that the spacing is pinned to."""
        return pinned_steps(self.spacing)

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of the steps that are left of `steps`.

        Raises:
            InvalidInput: no step lies before the level, or none after it.
        """
        whole = self.spacing.grid(schedule, steps)
        rest = whole.since(_steps_before(self, whole, self.level))
        return replace(rest, noise_gain=0.0, source_gain=1.0)


def _check_level(level: float) -> None:
    if not (math.isfinite(level) and level > 0.0):
        raise InvalidInput(f"a run divided at noise level {level}: give one above 0, finite.")


def _steps_before(asked: object, whole: Grid, level: float) -> int:
    """How many steps begin at the level or above."""
    begins = np.array([whole[step].sigma_ve for step in range(whole.steps)])
    before = int((begins >= level * (1.0 - NEARLY)).sum())
    if not 0 < before < whole.steps:
        raise InvalidInput(
            f"{asked} leaves {before} of {whole.steps} steps before the level and "
            f"{whole.steps - before} after it; the steps begin at sigma / alpha = {begins[0]:g} to "
            f"{begins[-1]:g}. Give a level between them, or more steps."
        )
    return before
