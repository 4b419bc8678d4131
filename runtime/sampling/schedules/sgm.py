"""The uniform spacing of ComfyUI: even in time, the last part left to the final point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules.schedule import Array, NoiseSchedule
from denoisert.runtime.sampling.schedules.spacing import (
    CONTINUOUS_STEPS,
    Final,
    check_steps,
    close,
    visit,
)


@dataclass(frozen=True, slots=True)
@checked
class SGMUniform:
    """Times first + i / N (last - first), i = 0 .. N - 1, fractional, then the final point.

    Between whole train times the logarithm of sigma / alpha is linear, so that the network's time
    and the level agree under `NoiseSchedule.model_time`. On a flow path the times are those of
    `Trailing`.

    Args:
        final: the last point.

    Source: `sgm_uniform` of ComfyUI, normal_scheduler in its samplers.py.
    """

    final: Final = Final.ZERO

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: steps outside 1 .. T.
        """
        check_steps(steps, schedule.train_steps or CONTINUOUS_STEPS)
        times = schedule.spaced(1.0 - np.arange(steps) / steps)
        if schedule.train_steps is None:
            return visit(schedule, times, self.final)
        return close(schedule, _between(schedule, times), times, self.final)


def _between(schedule: NoiseSchedule, times: Array) -> tuple[Array, Array]:
    """(alpha, sigma), the logarithm of the level linear between whole times."""
    whole = np.floor(times)
    share = times - whole
    ends = schedule.at(whole), schedule.at(np.where(share > 0.0, whole + 1.0, whole))
    with np.errstate(divide="ignore", invalid="ignore"):  # an end without signal is infinite
        low, high = (
            np.where(alpha > 0.0, np.log(sigma) - np.log(alpha), np.inf) for alpha, sigma in ends
        )
        level = np.exp(np.where(share > 0.0, (1.0 - share) * low + share * high, low))
    return schedule.coordinates(level)
