"""Spacings made from another spacing: one point fewer, whole times, other ends, a later start."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import cast

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules.beta_quantile import BetaQuantile
from denoisert.runtime.sampling.schedules.between import Whole, WholePart, whole_part
from denoisert.runtime.sampling.schedules.even import Leading, Linspace
from denoisert.runtime.sampling.schedules.exponential import Exponential, Polyexponential
from denoisert.runtime.sampling.schedules.karras import Karras
from denoisert.runtime.sampling.schedules.schedule import NoiseSchedule
from denoisert.runtime.sampling.schedules.spacing import (
    CONTINUOUS_STEPS,
    Final,
    Measure,
    Spacing,
    check_steps,
    close,
    pinned_steps,
)

WithEnds = Karras | Exponential | Polyexponential | BetaQuantile
NEARLY = 1e-9  # relative: levels nearer than this are one, as rounding may have moved either
WITH_ENDS = (Karras, Exponential, Polyexponential, BetaQuantile)


@dataclass(frozen=True, slots=True)
@checked
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


class Rounding(Enum):
    """Which whole time is told.

    NEAREST: the nearest, everywhere. POINTS: the nearest at the grid's points; between them, where
    some solvers ask, the exact time. DOWN: the whole part, as where numbers are cast to integers.
    """

    NEAREST = "nearest"
    POINTS = "points"
    DOWN = "down"

    def __repr__(self) -> str:
        return f"Rounding.{self.name}"


@dataclass(frozen=True, slots=True)
@checked
class Rounded:
    """The same points, but the network is told whole times.

    For networks that take whole numbers, under spacings of levels: diffusers' DPM solvers round
    with Karras' levels and `use_lu_lambdas`, and take the whole part (DOWN) with its other levels;
    its KDPM2 rounds at the points alone. Two points may be told the same time.

    Args:
        spacing: where the points lie.
        rounding: which whole time.
    """

    spacing: Spacing = field(default_factory=Karras)
    rounding: Rounding = Rounding.NEAREST

    @property
    def steps(self) -> int | None:
        """Those that the spacing is pinned to."""
        return pinned_steps(self.spacing)

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals."""
        grid = self.spacing.grid(schedule, steps)
        is_cut = self.rounding is Rounding.DOWN
        told = whole_part(grid.model_time) if is_cut else np.round(grid.model_time)
        path = grid.path
        if path is not None and self.rounding is not Rounding.POINTS:
            path = WholePart(path) if is_cut else Whole(path)
        return replace(grid, model_time=told, path=path)


@dataclass(frozen=True, slots=True)
@checked
class BetweenEnds:
    """A spacing of levels from the first to the last visited point of another spacing.

    These depend on the number of steps where the other's do, as under `use_karras_sigmas` of
    diffusers' sigma schedulers with `timestep_spacing="leading"`, or on a flow behind its shift.
    An end that the levels have themselves stays.

    Args:
        spacing: of levels, or of times where it measures those.
        ends: whose first and last visited points it takes.

    Raises:
        InvalidInput: a spacing that has no ends to give.
    """

    spacing: Spacing = field(default_factory=Karras)
    ends: Spacing = field(default_factory=Leading)

    def __post_init__(self) -> None:
        if not isinstance(self.spacing, WITH_ENDS):
            raise InvalidInput(
                f"{self.spacing} has no ends to give. Use Karras(), Exponential() or "
                "BetaQuantile()."
            )

    @property
    def steps(self) -> int | None:
        """Those that the ends are pinned to."""
        return pinned_steps(self.ends)

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: fewer than two visited points, or no falling finite levels between them.
        """
        if steps == 1:
            raise InvalidInput(f"{self} needs two points to lie between. Ask for at least 2 steps.")
        points, levels = self.ends.grid(schedule, steps), cast(WithEnds, self.spacing)
        is_time = levels.measure is Measure.TIME
        first, last = points[0], points[steps - 1]
        high, low = (at.model_time if is_time else at.sigma_ve for at in (first, last))
        filled = replace(
            levels,
            sigma_max=high if levels.sigma_max is None else levels.sigma_max,
            sigma_min=low if levels.sigma_min is None else levels.sigma_min,
        )
        return filled.grid(schedule, steps)


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
@checked
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
            InvalidInput: a level above the spacing's first point, or not above its last one.
        """
        whole = self.spacing.grid(schedule, steps)
        most, least = whole[0].sigma_ve, whole[whole.steps].sigma_ve
        if self.level > most * (1.0 + NEARLY):
            raise InvalidInput(
                f"{self} starts above the first point, sigma / alpha = {most:g}. Give a level "
                f"below, or take {self.spacing} as it is."
            )
        below = self.level * (1.0 - NEARLY)
        if below <= least:
            raise InvalidInput(
                f"{self} starts where the run has ended, the last point being at sigma / alpha = "
                f"{least:g}. Give a level above, or end at 0 (Final.ZERO)."
            )
        first = next(i for i in range(whole.steps + 1) if whole[i].sigma_ve < below)
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
