"""The picture of a model: error on the left, quality on the right, families by colour."""

from __future__ import annotations

from collections.abc import Sequence

from bench.quality.families import Family
from bench.quality.labels import apart, label
from bench.quality.panel import BOTTOM, TOP, Panel
from bench.quality.yardstick import OWN
from denoisert.runtime.measure.axis import Axis
from denoisert.runtime.measure.svg import GRID, INK, PALE, Canvas

WIDTH, HEIGHT = 1220, 576
ROW = 14
BOLD, THIN = 2.4, 0.7
DASH = "7 3"
COSTS = (4, 6, 8, 12, 16, 24, 32, 48)


def figure(title: str, panels: Sequence[Panel], notes: Sequence[str]) -> str:
    """Draw the panels.

    Args:
        title: above the picture.
        panels: side by side.
        notes: below, a line each.

    Returns:
        The text of an SVG file.
    """
    canvas = Canvas(WIDTH, HEIGHT + 16 * len(notes))
    canvas.text((24, 30), title, size=17, weight="bold")
    _families(canvas, {line.family for panel in panels for line in panel.lines})
    for panel in panels:
        _panel(canvas, panel)
    for number, note in enumerate(notes):
        canvas.text((24, HEIGHT + 16 * number), note, size=11, color=PALE)
    return canvas.document()


def _families(canvas: Canvas, shown: set[Family]) -> None:
    x = 24.0
    for family in (each for each in Family if each in shown):
        words, color = family.value
        canvas.line([(x, 50), (x + 22, 50)], color, width=3)
        canvas.text((x + 28, 54), words, size=12)
        x += 54 + 6.6 * len(words)


def _panel(canvas: Canvas, panel: Panel) -> None:
    across = Axis(COSTS[0], COSTS[-1], panel.left, panel.right, COSTS, is_log=True)
    canvas.text((panel.left, TOP - 14), panel.title, size=13, weight="bold")
    for tick in panel.upwards.ticks:
        y = panel.upwards.place(tick)
        canvas.line([(panel.left, y), (panel.right, y)], GRID)
        canvas.text((panel.left - 6, y + 4), f"{tick:g}", size=11, anchor="end", color=PALE)
    for cost in COSTS:
        words = f"{cost}"
        canvas.text((across.place(cost), BOTTOM + 16), words, size=11, anchor="middle", color=PALE)
    middle = (panel.left + panel.right) / 2
    words = "network evaluations of one branch"
    canvas.text((middle, BOTTOM + 36), words, size=12, anchor="middle", color=PALE)
    _curves(canvas, panel, across)


def _curves(canvas: Canvas, panel: Panel, across: Axis) -> None:
    named = {id(line) for line in panel.bold}
    for line in sorted(panel.lines, key=lambda line: id(line) in named):  # the named ones on top
        points = [(across.place(x), panel.upwards.place(y)) for x, y in line.points(panel.key)]
        is_bold, color = id(line) in named, line.family.value[1]
        dash = "" if line.spacing == OWN else DASH
        canvas.line(points, color, width=BOLD if is_bold else THIN, dash=dash)
        for point in points if is_bold else []:
            canvas.dot(point, color, 2.8)
    if panel.level:
        y = panel.upwards.place(panel.level[0])
        canvas.line([(panel.left, y), (panel.right, y)], INK, width=1.4, dash="6 4")
    _labels(canvas, panel)


def _labels(canvas: Canvas, panel: Panel) -> None:
    """Names at the right, each by the end of its line, moved apart where they would overlap."""
    ends = {
        label(line): (line.points(panel.key)[-1][1], line.family.value[1]) for line in panel.bold
    }
    if panel.level:
        ends[panel.level[1]] = (panel.level[0], INK)
    wanted = sorted((panel.upwards.place(y), words, color) for words, (y, color) in ends.items())
    places = apart([y for y, _, _ in wanted], ROW, TOP, BOTTOM)
    for (y, words, color), place in zip(wanted, places, strict=True):
        canvas.line([(panel.right + 2, y), (panel.right + 16, place)], color, width=0.8)
        canvas.text((panel.right + 19, place + 4), words, size=11, color=color)
