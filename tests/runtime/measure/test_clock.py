"""Interleaved timing and the trace file."""

import json
from time import sleep

import pytest

from denoisert.runtime.measure.clock import interleaved
from denoisert.runtime.measure.trace import Trace


def test_providers_take_turns_and_warm_up_is_not_counted():
    seen = []
    providers = {name: (lambda name=name: seen.append(name)) for name in "abc"}
    times = interleaved(providers, warm_up=2, repeats=3)
    assert seen == list("abc") * 5
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3, "c": 3}
    assert all(value >= 0 for values in times.values() for value in values)


def test_times_are_milliseconds_of_the_right_provider():
    times = interleaved({"short": lambda: None, "long": lambda: sleep(0.02)}, warm_up=0, repeats=2)
    assert min(times["long"]) >= 20.0  # sleep never returns early
    assert times["short"] != times["long"]


def test_an_error_of_a_provider_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        interleaved({"bad": lambda: 1 // 0}, warm_up=0, repeats=1)


def test_no_repeats_no_times():
    assert interleaved({"a": lambda: None}, warm_up=1, repeats=0) == {"a": []}


def test_trace_is_what_perfetto_reads(tmp_path):
    trace = Trace()
    trace.add("tick", 5_000, 9_000, "loop", slots=2)
    trace.add("engine", 6_000, 8_500, "engine")
    trace.add("tick", 10_000, 12_000, "loop", slots=1)
    path = tmp_path / "trace.json"
    trace.write(path)
    events = json.loads(path.read_text())["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    assert sorted(names.values()) == ["engine", "loop"]
    spans = [event for event in events if event["ph"] == "X"]
    assert [(e["name"], names[e["tid"]], e["ts"], e["dur"]) for e in spans] == [
        ("tick", "loop", 0.0, 4.0),
        ("engine", "engine", 1.0, 2.5),
        ("tick", "loop", 5.0, 2.0),
    ]
    assert spans[0]["args"] == {"slots": 2}


def test_an_empty_trace_is_a_file_too(tmp_path):
    Trace().write(tmp_path / "trace.json")
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"] == []
