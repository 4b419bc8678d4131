"""Which points of a schedule a run visits."""

from __future__ import annotations

from enum import Enum
from typing import Protocol, runtime_checkable

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules.between import ToldPath
from denoisert.runtime.sampling.schedules.schedule import Array, NoiseSchedule

CONTINUOUS_STEPS = 1000


class Final(Enum):
    """The last point of a grid, behind the last network evaluation of a one-step solver.

    ZERO: no noise, alpha = 1, sigma = 0. LAST: the noise of train time 0 stays in the sample, which
    is what `set_alpha_to_one=False` and `final_sigmas_type="sigma_min"` mean in diffusers. SPACED:
    a spacing of levels runs on to the final point, so that the least of N + 1 levels stays in the
    sample: `concat_zero=False` in k-diffusion, and what DPM-Solver's paper does.
    """

    ZERO = "zero"
    LAST = "last"
    SPACED = "spaced"

    def __repr__(self) -> str:
        return f"Final.{self.name}"


class Measure(Enum):
    """What a spacing of levels places.

    LEVEL: sigma / alpha. TIME: the model time, which on a flow path is sigma up to its scale, as
    diffusers' flow-matching schedulers do; whole train times are rounded.
    """

    LEVEL = "level"
    TIME = "time"

    def __repr__(self) -> str:
        return f"Measure.{self.name}"


@runtime_checkable
class Spacing(Protocol):
    """Anything that picks N + 1 points of a schedule."""

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals."""
        ...


def pinned_steps(spacing: Spacing) -> int | None:
    """The only number of steps that a spacing has: a list's, also inside another spacing.

    Args:
        spacing: any.

    Returns:
        The number, or None where any number will do.
    """
    steps: int | None = getattr(spacing, "steps", None)
    return steps


def check_steps(steps: int, limit: int) -> None:
    """Refuse step counts that no grid can have.

    Raises:
        InvalidInput: not a whole number from 1 to limit.
    """
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= limit:
        raise InvalidInput(f"steps {steps!r} must be a whole number from 1 to {limit}.")


def close(
    schedule: NoiseSchedule, coordinates: tuple[Array, Array], model_time: Array, final: Final
) -> Grid:
    """Add the final point to N visited ones.

    Args:
        schedule: gives the noise at its last train time and the gain of the start.
        coordinates: (alpha, sigma), (N,) each.
        model_time: (N,).
        final: what the last point is.

    Returns:
        A grid of N + 1 points. The network cannot be asked at Final.ZERO: its model time is NaN.

    Raises:
        InvalidInput: the visited points end at the final one already.
    """
    alpha, sigma = coordinates
    end, time = (np.array([1.0]), np.array([0.0])), np.array([np.nan])
    if final is Final.LAST:
        end, time = schedule.at(np.array([schedule.last])), np.array([schedule.last])
    if final is Final.SPACED:
        raise InvalidInput(
            "Final.SPACED needs a spacing of noise levels, which runs on to its last one. Use "
            "Final.ZERO or Final.LAST."
        )
    if alpha[-1] > 0.0 and end[1][0] * alpha[-1] >= sigma[-1] * end[0][0]:
        raise InvalidInput(
            f"the last visited point, alpha {alpha[-1]:g}, sigma {sigma[-1]:g}, has no more noise "
            f"than the final one, {end[0][0]:g}, {end[1][0]:g}. Use Final.ZERO, or times that end "
            "above train time 0."
        )
    joined = np.append(alpha, end[0]), np.append(sigma, end[1])
    return points(schedule, joined, np.append(model_time, time))


def visit(schedule: NoiseSchedule, times: Array, final: Final) -> Grid:
    """The grid that visits model times, then the final point.

    Args:
        schedule: what the network was trained on.
        times: (N,) model times, falling in noise.
        final: what the last point is.

    Returns:
        A grid of N + 1 points.

    Raises:
        InvalidInput: times outside the schedule, or that reach the final point.
    """
    return close(schedule, schedule.at(times), times, final)


def points(schedule: NoiseSchedule, coordinates: tuple[Array, Array], model_time: Array) -> Grid:
    """The grid of all its points, with what the network is told and the gain of the start.

    Args:
        schedule: what the network was trained on.
        coordinates: (alpha, sigma), (N + 1,) each.
        model_time: (N + 1,); NaN where the network cannot be asked.

    Returns:
        A grid.

    Raises:
        InvalidInput: noise levels that do not fall.
    """
    alpha, sigma = coordinates
    gain = float(sigma[0]) if schedule.noise_gain is None else schedule.noise_gain
    return Grid(alpha, sigma, schedule.told(model_time), gain, path=ToldPath(schedule))
