"""What the picture of a model shows: which lines are named, where the axes end, what is told."""

from __future__ import annotations

from collections.abc import Sequence

from bench.quality.families import Family
from bench.quality.figure import figure
from bench.quality.lines import Line, leaders, lines
from bench.quality.panel import BOTTOM, TOP, Panel
from bench.quality.yardstick import Yardstick
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.axis import between, logarithmic
from denoisert.runtime.measure.record import Record

LARGEST = 1.0  # errors above are drawn on the border
LEFT, RIGHT = 62, 670  # first pixels of the panels
MIDDLE = 0.8  # share of the values that the axis of quality must show


def drawn(records: Sequence[Record], yardstick: Yardstick) -> str:
    """The figure of a model.

    Raises:
        InvalidInput: no record of the model.
    """
    found = lines(records, yardstick.name)
    if not found:
        raise InvalidInput(f"no record of {yardstick.name}; measure it first.")
    others = [
        line
        for spacing in yardstick.shown
        for line in lines(records, yardstick.name, spacing)
        if not line.is_random
    ]
    still = [line for line in found if not line.is_random]
    noisy = [line for line in found if line.family is Family.RANDOM]
    named = [
        line
        for line in (*found, *others)
        for name, spacing in yardstick.named
        if name in line.names and line.spacing == spacing
    ]
    worst = max(still, key=lambda line: line.points("rms")[-1][1])
    bold = once([*leaders(still, "rms", 1), *named, worst, *leaders(others, "rms", 1)])
    still += [line for line in others if line in bold]
    errors = [min(value, LARGEST) for line in still for _, value in line.points("rms")]
    left = Panel(
        LEFT,
        "Error: RMS of the latent to 500 steps, same noise, logarithmic",
        logarithmic(errors, BOTTOM, TOP),
        "rms",
        still,
        bold,
    )
    values = sorted(value for line in [*found, *bold] for _, value in line.points("distance"))
    upwards = between(values[0], values[int(MIDDLE * (len(values) - 1))], BOTTOM, TOP)
    quality = once([*bold, *leaders(noisy, "excess", 1)])
    found += [line for line in others if line in bold]
    level = next(
        each for each in records if each.case == f"quality/{yardstick.name} card pictures 500"
    )
    told = float(level.extra["mean"]), "500 steps"
    right = Panel(RIGHT, yardstick.distance, upwards, "distance", found, quality, told)
    return figure(title(records, yardstick), (left, right), notes(records, yardstick))


def once(found: Sequence[Line]) -> list[Line]:
    """Each line once, in order."""
    return list({id(line): line for line in found}.values())


def title(records: Sequence[Record], yardstick: Yardstick) -> str:
    """What was measured."""
    count = len(lines(records, yardstick.name))
    solvers = {each.provider for each in records}
    return f"{yardstick.name}: {len(solvers)} solvers against evaluations ({count} different ones)"


def notes(records: Sequence[Record], yardstick: Yardstick) -> list[str]:
    """How it was measured."""
    last = records[-1].machine
    pictures = yardstick.images * len(yardstick.conditions)
    return [
        f"{pictures} pictures from the same noise, the card's guidance and spacing, dashed: "
        "another spacing. Thin: all other solvers. Values beyond an axis lie on its end.",
        f"{last.device}, {last.date[:10]}, python -m bench.quality {yardstick.name}",
    ]
