"""One of the two charts of a figure, and where charts stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.quality.lines import Line
from denoisert.runtime.measure.axis import Axis

TOP, BOTTOM = 96, 510
CHART = 350


@dataclass(frozen=True, slots=True)
class Panel:
    """One of the two charts.

    Args:
        left: first pixel of the chart.
        title: above it.
        upwards: the axis of the values.
        key: of the records' extras that is drawn.
        lines: what was measured.
        bold: the lines that are drawn strongly and named.
        level: a value that is drawn across, such as the reference's, and its name.
    """

    left: float
    title: str
    upwards: Axis
    key: str
    lines: Sequence[Line]
    bold: Sequence[Line]
    level: tuple[float, str] | None = None

    @property
    def right(self) -> float:
        """Last pixel of the chart; labels stand beyond it."""
        return self.left + CHART
