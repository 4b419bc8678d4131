"""A picture of solvers: error against evaluations, both logarithmic, a line for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from textwrap import wrap

from denoisert.runtime.measure.axis import Axis, logarithmic
from denoisert.runtime.measure.svg import GRID, INK, PALE, Canvas

WIDTH = 1060
LEFT, RIGHT = 80, 310  # the legend stands on the right
TOP = 64
CHART = 460
ROW = 17
BOTTOM = 58
LINE = 15
MOST_TICKS = 12
LONGEST_NAME = 34
NOTE = 140  # characters of a line below the picture

# Okabe and Ito's colours without yellow, each with several dashes.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1f2430")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "5 2 1 2 1 2", "1 5", "14 3 4 3")
STYLES = tuple((color, dash) for dash, color in product(DASHES, COLORS))

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """One line.

    Args:
        name: in the legend.
        points: (evaluations, error), both above 0 to be seen.
    """

    name: str
    points: tuple[Point, ...]


def curves(title: str, quantity: str, lines: Sequence[Curve], notes: Sequence[str] = ()) -> str:
    """Draw lines, the legend sorted by where they end.

    Args:
        title: above the picture.
        quantity: what the error is, beside its axis.
        lines: those without points are left out.
        notes: below the picture, each on as many lines as it needs.

    Returns:
        The text of an SVG file.
    """
    shown = sorted((line for line in lines if line.points), key=lambda line: line.points[-1][1])
    chart = max(CHART, ROW * len(shown))
    told = [line for note in notes for line in wrap(note, NOTE)]
    canvas = Canvas(WIDTH, TOP + chart + BOTTOM + LINE * len(told))
    canvas.text((LEFT, 34), title, size=17, weight="bold")
    points = [point for line in shown for point in line.points]
    across = logarithmic([x for x, _ in points], LEFT, WIDTH - RIGHT)
    upwards = logarithmic([y for _, y in points], TOP + chart, TOP)
    _frame(canvas, across, upwards, quantity)
    for index, line in reversed(list(enumerate(shown))):  # the best on top
        _draw(canvas, line, STYLES[index % len(STYLES)], across, upwards)
        _legend(canvas, line, STYLES[index % len(STYLES)], TOP + ROW * index)
    for number, note in enumerate(told):
        canvas.text((LEFT, TOP + chart + BOTTOM + LINE * number), note, size=11, color=PALE)
    return canvas.document()


def _frame(canvas: Canvas, across: Axis, upwards: Axis, quantity: str) -> None:
    """Grid, numbers and names of both axes."""
    right = WIDTH - RIGHT
    for tick in _shown(upwards.ticks):
        y = upwards.place(tick)
        canvas.line([(LEFT, y), (right, y)], GRID)
        canvas.text((LEFT - 8, y + 4), f"{tick:g}", anchor="end", color=PALE)
    for tick in across.ticks:
        x = across.place(tick)
        canvas.line([(x, upwards.end), (x, upwards.start)], GRID)
        canvas.text((x, upwards.start + 18), f"{tick:g}", anchor="middle", color=PALE)
    canvas.line([(LEFT, upwards.start), (right, upwards.start)], PALE)
    middle = (LEFT + right) / 2
    words = "network evaluations of one branch, logarithmic"
    canvas.text((middle, upwards.start + 38), words, anchor="middle", color=PALE)
    place = (22, (upwards.start + upwards.end) / 2)
    canvas.text(place, f"{quantity}, logarithmic", anchor="middle", color=PALE, turn=-90)


def _shown(ticks: Sequence[float]) -> list[float]:
    """All ticks, or whole decades where there are too many."""
    if len(ticks) <= MOST_TICKS:
        return list(ticks)
    return [tick for tick in ticks if f"{tick:e}".startswith("1.000000e")]


def _draw(canvas: Canvas, line: Curve, style: tuple[str, str], across: Axis, upwards: Axis) -> None:
    color, dash = style
    places = [(across.place(x), upwards.place(y)) for x, y in line.points]
    if len(places) > 1:
        canvas.line(places, color, width=1.7, dash=dash)
    for place in places:
        canvas.dot(place, color, 2.4)


def _legend(canvas: Canvas, line: Curve, style: tuple[str, str], y: float) -> None:
    color, dash = style
    left = WIDTH - RIGHT + 16
    canvas.line([(left, y + 4), (left + 30, y + 4)], color, width=2, dash=dash)
    is_short = len(line.name) <= LONGEST_NAME
    name = line.name if is_short else f"{line.name[: LONGEST_NAME - 3]}..."
    words = f"{name}  {line.points[-1][1]:.1e}"
    canvas.text((left + 36, y + 8), words, size=11, color=INK)
