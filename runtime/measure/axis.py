"""Axes of a chart: round numbers as ticks, values to pixels, linear or logarithmic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, log10

STEPS = (1.0, 2.0, 5.0, 10.0)
WIDE = 20.0  # a ratio of values beyond which only a logarithm shows the small ones
SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis.

    Args:
        low: value at `start`.
        high: value at `end`.
        start: pixel.
        end: pixel; smaller than `start` for an axis that points up.
        ticks: values that get a number.
        is_log: whether distances are ratios.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    is_log: bool = False

    def place(self, value: float) -> float:
        """The pixel of a value; values outside are put on the border."""
        inside = min(max(value, self.low), self.high)
        if self.is_log:
            share = log10(inside / self.low) / log10(self.high / self.low)
        else:
            share = (inside - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def linear(values: Iterable[float], start: float, end: float) -> Axis:
    """An axis from 0 to a round number at or above the largest value.

    Args:
        values: at least 0.
        start: pixel of 0.
        end: pixel of the round number.
    """
    return between(0.0, max(values, default=0.0) or 1.0, start, end)


def between(low: float, high: float, start: float, end: float) -> Axis:
    """An axis between the round numbers around two values.

    Args:
        low: value to be seen near `start`.
        high: value to be seen near `end`, above `low`.
        start: pixel of the round number at or below `low`.
        end: pixel of the one at or above `high`.
    """
    step = _round_step((high - low) / 5)
    first, last = floor(low / step + SLACK), ceil(high / step - SLACK)
    ticks = tuple(round(step * number, 12) for number in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], start, end, ticks)


def logarithmic(values: Iterable[float], start: float, end: float) -> Axis:
    """An axis over whole decades, cut at 1, 2 or 5.

    Args:
        values: those above 0 count.
        start: pixel of the lowest tick.
        end: pixel of the highest.
    """
    known = [value for value in values if value > 0.0] or [1.0]
    marks = [
        step * 10.0**power
        for power in range(floor(log10(min(known))) - 1, ceil(log10(max(known))) + 2)
        for step in STEPS[:3]
    ]
    low = max(mark for mark in marks if mark <= min(known) * (1 + SLACK))
    high = min(mark for mark in marks if mark >= max(known) * (1 - SLACK) and mark > low)
    return Axis(low, high, start, end, tuple(m for m in marks if low <= m <= high), is_log=True)


def fitting(values: Iterable[float], start: float, end: float) -> Axis:
    """A linear axis, or a logarithmic one where the values differ too much for it."""
    known = [value for value in values if value > 0.0]
    is_wide = bool(known) and max(known) > WIDE * min(known)
    return (logarithmic if is_wide else linear)(known, start, end)


def _round_step(least: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is at least `least`."""
    power = 10.0 ** floor(log10(least))
    return next(step * power for step in STEPS if step * power >= least * (1 - SLACK))
