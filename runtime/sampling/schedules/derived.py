"""Spacings made from another spacing: one point fewer, whole times, a later start."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules.between import Whole
from denoisert.runtime.sampling.schedules.even import Linspace
from denoisert.runtime.sampling.schedules.karras import Karras
from denoisert.runtime.sampling.schedules.schedule import NoiseSchedule
from denoisert.runtime.sampling.schedules.spacing import (
    CONTINUOUS_STEPS,
    Final,
    Spacing,
    check_steps,
    close,
    pinned_steps,
)


@dataclass(frozen=True, slots=True)
class DropLast:
    """The grid of N + 1 steps without the last point that it visits.

    So DropLast(Linspace()) and DropLast(Leading()) are the spacings of those names in diffusers'
    DPM-Solver, and DropLast(BetaQuantile(measure=Measure.TIME)) is ComfyUI's `beta`.

    Args:
        spacing: with a final point of no noise.
        final: the last point.
    """

    spacing: Spacing = field(default_factory=Linspace)
    final: Final = Final.ZERO

    @property
    def steps(self) -> int | None:
        """One fewer than those that the spacing is pinned to."""
        longer = pinned_steps(self.spacing)
        return None if longer is None else longer - 1

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals."""
        check_steps(steps, CONTINUOUS_STEPS)
        longer = self.spacing.grid(schedule, steps + 1)
        kept = longer.alpha[:-2], longer.sigma[:-2]
        closed = close(schedule, kept, longer.model_time[:-2], self.final)
        told = np.append(longer.model_time[:-2], closed.model_time[-1])
        return replace(longer, alpha=closed.alpha, sigma=closed.sigma, model_time=told)


@dataclass(frozen=True, slots=True)
class Rounded:
    """The same points, but the network is told the nearest whole times.

    For networks that take whole numbers, under spacings of levels: what diffusers' DPM-Solver does
    with Karras' levels and `use_lu_lambdas`. Two points may be told the same time.

    Args:
        spacing: where the points lie.
    """

    spacing: Spacing = field(default_factory=Karras)

    @property
    def steps(self) -> int | None:
        """Those that the spacing is pinned to."""
        return pinned_steps(self.spacing)

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals."""
        grid = self.spacing.grid(schedule, steps)
        path = None if grid.path is None else Whole(grid.path)
        return replace(grid, model_time=np.round(grid.model_time), path=path)


class Begin(Enum):
    """What a truncated run starts from.

    SOURCE: the source latent, which is a sample at that level already: a mixture's, a small
    model's. NOISE: noise of the level's own standard deviation, as if the data had none.
    """

    SOURCE = "source"
    NOISE = "noise"

    def __repr__(self) -> str:
        return f"Begin.{self.name}"


@dataclass(frozen=True, slots=True)
class Truncated:
    """A run that starts at a noise level of its own: that point, then those that lie below it.

    Args:
        spacing: where the points below lie; those above are left out, so fewer steps run.
        level: sigma / alpha of the start, above 0 and finite.
        begin: what it starts from.

    Raises:
        InvalidInput: a level that is not finite and above 0.

    Source: Franzese et al. 2022, arXiv 2206.05173.
    """

    spacing: Spacing = field(default_factory=Karras)
    level: float = 1.0
    begin: Begin = Begin.SOURCE

    def __post_init__(self) -> None:
        if not (math.isfinite(self.level) and self.level > 0.0):
            raise InvalidInput(f"a start at noise level {self.level}: give one above 0, finite.")

    @property
    def steps(self) -> int | None:
        """Those that the spacing is pinned to."""
        return pinned_steps(self.spacing)

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of at most `steps` intervals.

        Raises:
            InvalidInput: a level above the spacing's first point.
        """
        whole = self.spacing.grid(schedule, steps)
        most = whole[0].sigma_ve
        if self.level > most:
            raise InvalidInput(
                f"{self} starts above the first point, sigma / alpha = {most:g}. Give a level "
                f"below, or take {self.spacing} as it is."
            )
        first = next(i for i in range(whole.steps + 1) if whole[i].sigma_ve < self.level)
        level = np.array([self.level])
        alpha, sigma = schedule.coordinates(level)
        time = schedule.told(schedule.model_time(level))
        is_source = self.begin is Begin.SOURCE
        noise = 0.0 if is_source else float(np.hypot(alpha[0], sigma[0]))
        return replace(
            whole,
            alpha=np.append(alpha, whole.alpha[first:]),
            sigma=np.append(sigma, whole.sigma[first:]),
            model_time=np.append(time, whole.model_time[first:]),
            noise_gain=noise,
            source_gain=1.0 if is_source else 0.0,
        )
