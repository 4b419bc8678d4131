"""Spans of a run, written as a Chrome trace that Perfetto and chrome://tracing open."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

# The first word of a track's name says to which group of rows it belongs.
GROUPS = {"request": "requests", "slot": "slots"}
WORKERS = "workers"


@dataclass(frozen=True, slots=True)
class Span:
    """One named stretch of time on one track.

    Args:
        name: what ran.
        start_ns: on the host's monotonic clock.
        end_ns: likewise.
        track: the row it is drawn in: "request 7", "slot 3", or the name of a worker.
        args: numbers worth seeing.
    """

    name: str
    start_ns: int
    end_ns: int
    track: str
    args: dict[str, float] = field(default_factory=dict)


class Trace:
    """Collects spans; any thread may add some."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def add(self, name: str, start_ns: int, end_ns: int, track: str, **args: float) -> None:
        """Record one span."""
        self.spans.append(Span(name, start_ns, end_ns, track, args))  # atomic: needs no lock

    def write(self, path: Path) -> None:
        """Write every span as Chrome trace JSON, times in microseconds from the first span.

        Requests, slots and workers are groups of rows; requests and slots stand in the order of
        their numbers.
        """
        spans = sorted(self.spans, key=lambda span: (span.start_ns, -span.end_ns))
        origin = spans[0].start_ns if spans else 0
        rows = _rows(span.track for span in spans)
        events = [*_names(rows), *(_event(span, origin, rows[span.track]) for span in spans)]
        path.write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}))


def _rows(tracks: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Group and row number of every track."""
    groups = {name: number for number, name in enumerate((WORKERS, *GROUPS.values()), 1)}
    numbers = re.compile(r"\d+")
    ordered = sorted(
        dict.fromkeys(tracks), key=lambda track: [int(word) for word in numbers.findall(track)]
    )
    grouped: dict[str, list[str]] = {name: [] for name in groups}
    for track in ordered:
        grouped[_group(track)].append(track)
    return {
        track: (groups[name], row)
        for name, members in grouped.items()
        for row, track in enumerate(members, 1)
    }


def _group(track: str) -> str:
    kind, _, rest = track.partition(" ")
    return GROUPS[kind] if kind in GROUPS and rest else WORKERS


def _names(rows: dict[str, tuple[int, int]]) -> list[dict[str, object]]:
    """What the viewer calls groups and rows, and how it sorts them."""
    groups = {place[0]: _group(track) for track, place in rows.items()}
    events = [_named("process", {"name": name}, group) for group, name in groups.items()]
    for track, place in rows.items():
        events.append(_named("thread", {"name": track}, *place))
        events.append(_named("thread", {"sort_index": place[1]}, *place))
    return events


def _named(what: str, args: dict[str, object], group: int, row: int = 0) -> dict[str, object]:
    (key,) = args
    return {"ph": "M", "name": f"{what}_{key}", "pid": group, "tid": row, "args": args}


def _event(span: Span, origin: int, place: tuple[int, int]) -> dict[str, object]:
    return {
        "ph": "X",
        "name": span.name,
        "pid": place[0],
        "tid": place[1],
        "ts": (span.start_ns - origin) / 1e3,
        "dur": (span.end_ns - span.start_ns) / 1e3,
        "args": span.args,
    }
