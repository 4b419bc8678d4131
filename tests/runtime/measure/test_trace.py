"""Spans become a Chrome trace with a row per request, slot and worker."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from denoisert.runtime import Request, Runtime
from denoisert.runtime.measure.trace import Trace


def written(trace, tmp_path):
    path = tmp_path / "trace.json"
    trace.write(path)
    return json.loads(path.read_text())["traceEvents"]


def rows(events):
    """(group, row) -> (name of the group, name of the row)."""
    named = [event for event in events if event["ph"] == "M"]
    groups = {e["pid"]: e["args"]["name"] for e in named if e["name"] == "process_name"}
    threads = [event for event in named if event["name"] == "thread_name"]
    return {(e["pid"], e["tid"]): (groups[e["pid"]], e["args"]["name"]) for e in threads}


def spans(events):
    return [event for event in events if event["ph"] == "X"]


def test_spans_keep_names_times_and_numbers(tmp_path):
    trace = Trace()
    trace.add("tick", 5_000_000, 5_250_000, "loop", slots=3)
    trace.add("engine", 5_100_000, 5_200_500, "engine")
    events = written(trace, tmp_path)
    tick, engine = spans(events)
    assert (tick["name"], tick["ts"], tick["dur"], tick["args"]) == (
        "tick",
        0.0,
        250.0,
        {"slots": 3},
    )
    assert (engine["name"], engine["ts"], engine["dur"]) == ("engine", 100.0, 100.5)
    place = rows(events)
    assert place[tick["pid"], tick["tid"]] == ("workers", "loop")
    assert place[engine["pid"], engine["tid"]] == ("workers", "engine")


def test_spans_stand_in_the_order_of_their_starts(tmp_path):
    trace = Trace()
    trace.add("late", 9000, 10000, "loop")
    trace.add("inner", 1000, 1500, "loop")
    trace.add("outer", 1000, 2000, "loop")
    found = [(each["name"], each["ts"]) for each in spans(written(trace, tmp_path))]
    assert found == [("outer", 0.0), ("inner", 0.0), ("late", 8.0)]


def test_requests_and_slots_are_groups_in_the_order_of_their_numbers(tmp_path):
    trace = Trace()
    tracks = [
        "request 10",
        "slot 1",
        "codec",
        "request 9",
        "slot 0",
        "loop",
        "slot 0 2",
        "requests",
    ]
    for number, track in enumerate(tracks):
        trace.add("span", number, number + 1, track)
    found = rows(written(trace, tmp_path))
    groups = {}
    for (_, row), (group, name) in found.items():
        groups.setdefault(group, {})[row] = name
    ordered = {group: [names[row] for row in sorted(names)] for group, names in groups.items()}
    assert ordered["requests"] == ["request 9", "request 10"]
    assert ordered["slots"] == ["slot 0", "slot 0 2", "slot 1"]
    assert ordered["workers"] == ["codec", "loop", "requests"]
    assert len(found) == len(tracks)


def test_the_viewer_sorts_the_rows_as_we_do(tmp_path):
    trace = Trace()
    for number in (12, 3, 7):
        trace.add("span", number, number + 1, f"request {number}")
    events = written(trace, tmp_path)
    order = {e["tid"]: e["args"]["sort_index"] for e in events if e["name"] == "thread_sort_index"}
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert [names[row] for row in sorted(order, key=order.get)] == [
        "request 3",
        "request 7",
        "request 12",
    ]


def test_an_empty_trace_is_a_file_too(tmp_path):
    assert written(Trace(), tmp_path) == []


def test_threads_add_at_once_and_nothing_is_lost(tmp_path):
    trace = Trace()

    def fill(worker):
        for number in range(2000):
            trace.add(f"{number}", number, number + 1, f"slot {worker}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fill, range(8)))
    found = spans(written(trace, tmp_path))
    assert len(found) == len({(each["tid"], each["name"]) for each in found}) == 16_000


def test_a_run_has_a_row_per_request_slot_and_worker(digits_bundle, tmp_path):
    trace = Trace()
    with Runtime.open(digits_bundle, threads=1, slots=3, trace=trace) as runtime:
        requests = [Request(seed, seed=seed, images=2, steps=3) for seed in range(4)]
        for ticket in [runtime.submit(request) for request in requests]:
            ticket.result(60)
    events = written(trace, tmp_path)
    place = rows(events)
    by_row = {}
    for each in spans(events):
        by_row.setdefault(place[each["pid"], each["tid"]], []).append(each)
    requested = [name for group, name in by_row if group == "requests"]
    assert sorted(requested) == [f"request {number}" for number in range(1, 5)]
    slots = [row for row in by_row if row[0] == "slots"]
    assert len(slots) == 3
    assert {"loop", "engine"} <= {name for group, name in by_row if group == "workers"}
    steps = [each for row in slots for each in by_row[row]]
    assert len(steps) == 4 * 2 * 3  # requests, pictures, rows
    assert {each["args"]["request"] for each in steps} == {1, 2, 3, 4}
    for row in slots:  # one picture at a time
        edges = [(each["ts"], each["ts"] + each["dur"]) for each in by_row[row]]
        assert np.all(np.diff(np.ravel(edges)) >= -1e-3)
    ticks = [each for each in by_row["workers", "loop"] if each["name"] == "tick"]
    engine = sum(each["dur"] for each in by_row["workers", "engine"])
    assert engine < sum(each["dur"] for each in ticks)
