"""Respacing: train times that are kept, so many of each section.

A kept train time keeps its alpha; the betas of the shorter chain, 1 - alpha_n^2 / alpha_(n-1)^2
over kept times, follow from the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules.schedule import Array, NoiseSchedule
from denoisert.runtime.sampling.schedules.spacing import Final, check_steps, visit


@dataclass(frozen=True, slots=True)
@checked
class Respaced:
    """The train times in equal sections; of each, so many times, evenly from its first to its last.

    Args:
        counts: number of kept times of each section, from the data end on, each at least 1; empty
            means one section with as many as there are steps.
        final: the last point.

    Raises:
        InvalidInput: a count that is no whole number of at least 1.

    Source: Nichol and Dhariwal 2021, arXiv 2102.09672; space_timesteps of guided-diffusion.
    """

    counts: tuple[int, ...] = ()
    final: Final = Final.ZERO

    def __post_init__(self) -> None:
        if not all(type(count) is int and count >= 1 for count in self.counts):
            raise InvalidInput(f"counts {self.counts} must be whole numbers of at least 1.")

    @property
    def steps(self) -> int | None:
        """The sum of the counts; None where there are none."""
        return sum(self.counts) or None

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: a continuous schedule, steps that are not the sum of the counts, or a
                section with fewer times than its count.
        """
        total = _train_steps(self, schedule)
        check_steps(steps, total)
        counts = self.counts or (steps,)
        if sum(counts) != steps:
            raise InvalidInput(
                f"{self} keeps {sum(counts)} times, and {steps} steps were asked for. Ask for "
                f"{sum(counts)} steps."
            )
        size, extra = divmod(total, len(counts))
        sizes = [size + (number < extra) for number in range(len(counts))]
        starts = np.cumsum([0, *sizes[:-1]])
        kept = [
            start + _even(length, count)
            for start, length, count in zip(starts, sizes, counts, strict=True)
        ]
        return visit(schedule, np.concatenate(kept)[::-1], self.final)


@dataclass(frozen=True, slots=True)
@checked
class Strided:
    """Every k-th train time from 0 on, k the least stride that keeps N: "ddimN".

    Args:
        final: the last point.

    Source: Song et al. 2020, arXiv 2010.02502; space_timesteps of guided-diffusion.
    """

    final: Final = Final.ZERO

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: a continuous schedule, or no stride that keeps so many times.
        """
        total = _train_steps(self, schedule)
        check_steps(steps, total)
        stride = -(-total // steps)
        if -(-total // stride) != steps:
            near = sorted(
                {-(-total // (stride + 1)), -(-total // stride), -(-total // (stride - 1))}
            )
            raise InvalidInput(
                f"no stride keeps {steps} of {total} train times. Ask for "
                f"{', '.join(map(str, near))} steps, or use Leading()."
            )
        return visit(schedule, np.arange(0.0, total, stride)[::-1], self.final)


@dataclass(frozen=True, slots=True)
@checked
class Distilled:
    """The times that a few-step network was distilled at, of these every (kept / N)-th.

    Distilled at (i + 1) floor(T / kept) - 1, i = 0 .. kept - 1; visited are those of the indices
    kept - 1 - floor(j kept / N), j = 0 .. N - 1, so a run starts at the noise end.

    Args:
        kept: times of the distillation, at least 1; `original_inference_steps` in diffusers.
        final: the last point.

    Raises:
        InvalidInput: kept is no whole number of at least 1.

    Source: Luo et al. 2023, arXiv 2310.04378; diffusers 0.42.1, LCMScheduler and TCDScheduler.
    """

    kept: int = 50
    final: Final = Final.ZERO

    def __post_init__(self) -> None:
        if type(self.kept) is not int or self.kept < 1:
            raise InvalidInput(f"{self} must keep a whole number of times, at least 1.")

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: a continuous schedule, more kept times than it has, or more steps than
                kept times.
        """
        total = _train_steps(self, schedule)
        if self.kept > total:
            raise InvalidInput(f"{self} of {total} train times. Keep at most {total}.")
        check_steps(steps, self.kept)
        times = np.arange(1.0, self.kept + 1.0)[::-1] * (total // self.kept) - 1.0
        chosen = np.floor(np.linspace(0, self.kept, steps, endpoint=False)).astype(int)
        return visit(schedule, times[chosen], self.final)


def _even(length: int, count: int) -> Array:
    """`count` whole times evenly from 0 to length - 1; the stride is summed, as upstream does."""
    if count > length:
        raise InvalidInput(f"a section of {length} train times has no {count}. Keep fewer.")
    stride = 1.0 if count == 1 else (length - 1) / (count - 1)
    return np.round(np.cumsum([0.0] + [stride] * (count - 1)))


def _train_steps(spacing: Respaced | Strided | Distilled, schedule: NoiseSchedule) -> int:
    if schedule.train_steps is None:
        raise InvalidInput(
            f"{spacing} keeps train times, and {schedule} is continuous. Use Trailing() or "
            "Linspace()."
        )
    return schedule.train_steps
