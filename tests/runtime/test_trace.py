"""Spans become a Chrome trace."""

from __future__ import annotations

import json
from pathlib import Path

from denoisert.runtime.measure.trace import Trace


def written(trace: Trace, folder: Path) -> list[dict[str, object]]:
    path = folder / "trace.json"
    trace.write(path)
    events: list[dict[str, object]] = json.loads(path.read_text())["traceEvents"]
    return events


def test_spans_are_complete_events_in_microseconds_from_the_first(tmp_path: Path) -> None:
    trace = Trace()
    trace.add("tick", 5_000_000, 5_250_000, "loop", slots=3)
    trace.add("engine", 5_100_000, 5_200_500, "engine")
    spans = [event for event in written(trace, tmp_path) if event["ph"] == "X"]
    assert [(span["name"], span["ts"], span["dur"]) for span in spans] == [
        ("tick", 0.0, 250.0),
        ("engine", 100.0, 100.5),
    ]
    assert spans[0]["args"] == {"slots": 3}


def test_every_track_has_a_name_and_a_row_of_its_own(tmp_path: Path) -> None:
    trace = Trace()
    for index, track in enumerate(["loop", "engine", "loop", "requests"]):
        trace.add("span", index, index + 1, track)
    events = written(trace, tmp_path)
    names = {event["tid"]: event["args"] for event in events if event["ph"] == "M"}
    assert [entry["name"] for entry in names.values()] == ["loop", "engine", "requests"]
    rows = [event["tid"] for event in events if event["ph"] == "X"]
    assert rows == [0, 1, 0, 2]


def test_a_span_that_starts_earlier_moves_the_origin(tmp_path: Path) -> None:
    trace = Trace()
    trace.add("late", 9000, 10000, "loop")
    trace.add("early", 1000, 2000, "loop")
    spans = [event for event in written(trace, tmp_path) if event["ph"] == "X"]
    assert [span["ts"] for span in spans] == [8.0, 0.0]


def test_an_empty_trace_is_valid(tmp_path: Path) -> None:
    assert written(Trace(), tmp_path) == []
