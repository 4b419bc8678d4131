"""Spans of a run, written as a Chrome trace that Perfetto and chrome://tracing open."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Span:
    """One named stretch of time on one track.

    Args:
        name: what ran.
        start_ns: on the host's monotonic clock.
        end_ns: likewise.
        track: the row it is drawn in.
        args: numbers worth seeing.
    """

    name: str
    start_ns: int
    end_ns: int
    track: str
    args: dict[str, float] = field(default_factory=dict)


class Trace:
    """Collects spans in order."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def add(self, name: str, start_ns: int, end_ns: int, track: str, **args: float) -> None:
        """Record one span."""
        self.spans.append(Span(name, start_ns, end_ns, track, args))

    def write(self, path: Path) -> None:
        """Write every span as Chrome trace JSON, times in microseconds from the first span."""
        origin = min((span.start_ns for span in self.spans), default=0)
        tracks = {
            track: number for number, track in enumerate(dict.fromkeys(s.track for s in self.spans))
        }
        events: list[dict[str, object]] = [
            {"ph": "M", "name": "thread_name", "pid": 1, "tid": number, "args": {"name": track}}
            for track, number in tracks.items()
        ]
        events += [
            {
                "ph": "X",
                "name": span.name,
                "pid": 1,
                "tid": tracks[span.track],
                "ts": (span.start_ns - origin) / 1e3,
                "dur": (span.end_ns - span.start_ns) / 1e3,
                "args": span.args,
            }
            for span in self.spans
        ]
        path.write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}))
