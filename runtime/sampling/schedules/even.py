"""Spacings even in time, with the three names and roundings of diffusers' timestep_spacing.

T is the number of train times and N the number of steps. On schedules of whole times the visited
times are those of diffusers' DDIM scheduler, integer for integer. (Under the same names its sigma
schedulers do not round linspace, which is `Even`, and its DPM-Solver scheduler divides linspace and
leading into N + 1 parts and drops time 0, see `DropLast`.)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules.schedule import NoiseSchedule
from denoisert.runtime.sampling.schedules.spacing import (
    CONTINUOUS_STEPS,
    Final,
    check_steps,
    visit,
)


@dataclass(frozen=True, slots=True)
@checked
class Trailing:
    """Times round(T - i T / N) - 1: starts at the noise end, stops one interval before time 0.

    On a continuous schedule t_i = 1 - i / N, before the shift.

    Args:
        final: the last point.

    Source: Lin et al. 2023, arXiv 2305.08891, table 2.
    """

    final: Final = Final.ZERO

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: steps outside 1 .. T.
        """
        count = schedule.train_steps
        check_steps(steps, count or CONTINUOUS_STEPS)
        if count is None:
            return visit(schedule, schedule.spaced(1.0 - np.arange(steps) / steps), self.final)
        # arange as diffusers has it, since its rounding decides halves; for some N it yields one
        # time too many, -1, which is cut off.
        times = np.round(np.arange(count, 0, -count / steps))[:steps] - 1.0
        return visit(schedule, times, self.final)


@dataclass(frozen=True, slots=True)
@checked
class Linspace:
    """Times round(linspace(T - 1, 0, N)): visits both ends of the trained range.

    On a continuous schedule t runs evenly from 1 to 1/1000, the default of diffusers' flow-matching
    schedulers, and is shifted once. diffusers takes its least time from times that are shifted
    already and then shifts it again, so with a shift other than 1 its last times differ; that is
    not reproduced here.

    Args:
        final: the last point.

    Source: Lin et al. 2023, arXiv 2305.08891, table 2.
    """

    final: Final = Final.ZERO

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: steps outside 2 .. T.
        """
        count = schedule.train_steps
        check_steps(steps, count or CONTINUOUS_STEPS)
        _refuse_single(self, steps)
        if count is None:
            t = np.linspace(1.0, 1.0 / CONTINUOUS_STEPS, steps)
            return visit(schedule, schedule.spaced(t), self.final)
        return visit(schedule, np.round(np.linspace(0, count - 1, steps))[::-1], self.final)


@dataclass(frozen=True, slots=True)
@checked
class Leading:
    """Times i floor(T / N) + offset, i = N - 1 .. 0: starts below the noise end.

    Args:
        offset: added to every time, at least 0; `steps_offset` in diffusers.
        final: the last point.

    Raises:
        InvalidInput: a negative offset.

    Source: Lin et al. 2023, arXiv 2305.08891, table 2.
    """

    offset: int = 0
    final: Final = Final.ZERO

    def __post_init__(self) -> None:
        if not isinstance(self.offset, int) or self.offset < 0:
            raise InvalidInput(f"leading offset {self.offset!r} must be a whole number, 0 or more.")

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: steps outside 2 .. T, times beyond T - 1, or a continuous schedule, which
                has to start from pure noise.
        """
        count = schedule.train_steps
        if count is None:
            raise InvalidInput(
                f"{self} on {schedule} would start below pure noise. Use Trailing() or Linspace()."
            )
        check_steps(steps, count)
        _refuse_single(self, steps)
        times = np.arange(steps, dtype=np.float64)[::-1] * (count // steps) + self.offset
        if times[0] > count - 1:
            raise InvalidInput(
                f"{self} with {steps} steps starts at time {times[0]:g}; the last train time is "
                f"{count - 1}. Use a smaller offset or Trailing()."
            )
        return visit(schedule, times, self.final)


class Reach(Enum):
    """Whether the last time of a row is VISITED or LEFT_OUT, as the end of a half-open range."""

    VISITED = "visited"
    LEFT_OUT = "left_out"

    def __repr__(self) -> str:
        return f"Reach.{self.name}"


@dataclass(frozen=True, slots=True)
@checked
class Even:
    """Times t_i = first + i / M (last - first), i = 0 .. N - 1, not rounded.

    M = N - 1 where the last is visited, N where it is left out. On a schedule of T whole times
    they are (T - 1) t_i; a flow shifts them. So Even() is the linspace of diffusers' sigma
    schedulers (Euler, Heun, LMS, KDPM2), Even(1, e) with e the shifted 1/1000 that of its
    flow-matching schedulers, which shift their least time twice, and Even(1 - 1/1000, 0,
    Reach.LEFT_OUT) its `use_flow_sigmas`.

    Args:
        first: t of the first point, in (0, 1].
        last: t that the times run to, from 0 to below first.
        reach: whether that is visited.
        final: the last point.

    Raises:
        InvalidInput: ends that do not fall within 0 to 1.

    Source: diffusers 0.42.1, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler and
    DPMSolverMultistepScheduler.
    """

    first: float = 1.0
    last: float = 0.0
    reach: Reach = Reach.VISITED
    final: Final = Final.ZERO

    def __post_init__(self) -> None:
        if not 0.0 <= self.last < self.first <= 1.0:
            raise InvalidInput(f"{self} must fall from a first t of at most 1 to 0 or above.")

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: steps outside 1 .. T, or 1 step that would have two times to visit.
        """
        count = schedule.train_steps
        check_steps(steps, count or CONTINUOUS_STEPS)
        is_visited = self.reach is Reach.VISITED
        if is_visited and count is not None:
            _refuse_single(self, steps)
        t = np.linspace(self.first, self.last, steps if is_visited else steps + 1)[:steps]
        return visit(schedule, schedule.spaced(t), self.final)


def _refuse_single(spacing: Linspace | Leading | Even, steps: int) -> None:
    if steps == 1:
        raise InvalidInput(
            f"{spacing} with 1 step would visit only the least noisy time. Use Trailing(), which "
            "starts from noise."
        )
