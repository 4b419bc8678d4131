"""Names at the ends of lines, moved apart where they would overlap."""

from __future__ import annotations

from collections.abc import Sequence

from bench.quality.lines import Line
from bench.quality.yardstick import OWN

LONGEST = 27


def label(line: Line) -> str:
    """The names of a line, as many as fit, and its spacing where it is not the card's."""
    if line.spacing != OWN:
        return f"{line.names[0]}, {line.spacing}"
    shown = line.names[0]
    for number, name in enumerate(line.names[1:], 1):
        if len(shown) + len(name) > LONGEST:
            return f"{shown} + {len(line.names) - number}"
        shown += f", {name}"
    return shown


def apart(wanted: Sequence[float], least: float, low: float, high: float) -> list[float]:
    """Rising places at least so far apart, each near where it is wanted, none above `high`.

    Args:
        wanted: rising.
        least: distance.
        low: where the first may be at the earliest.
        high: where the last may be at the latest.
    """
    places: list[float] = []
    for value in wanted:
        places.append(max(value, places[-1] + least if places else low))
    limit = high
    for index in reversed(range(len(places))):
        places[index] = min(places[index], limit)
        limit = places[index] - least
    return places
