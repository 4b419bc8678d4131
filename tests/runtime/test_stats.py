"""Counters add up, whatever becomes of a request."""

import pytest

from denoisert.runtime.errors import Cancelled, DeadlineExceeded, EngineError, NonFinite
from denoisert.runtime.stats import RequestCounts, TickCounts


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (None, "requests_done"),
        (Cancelled("x"), "requests_cancelled"),
        (DeadlineExceeded("x"), "requests_expired"),
        (NonFinite("x"), "requests_failed"),
        (EngineError("x"), "requests_failed"),
    ],
)
def test_every_end_is_counted_once(error, name):
    counts = RequestCounts()
    counts.end(error)
    assert {key for key, number in counts.numbers().items() if number} == {name}


def test_the_pace_is_known_after_two_ends():
    counts = RequestCounts()
    assert counts.pace_s() is None
    counts.end(None)
    assert counts.pace_s() is None
    counts.end(None)
    assert 0.0 <= counts.pace_s() < 60.0
    counts._ends.clear()
    counts._ends.extend([1.0, 1.5, 3.0])
    assert counts.pace_s() == 1.0


def test_times_are_milliseconds():
    counts = TickCounts()
    counts.engine_ns, counts.tick_ns, counts.ticks = 1_500_000, 2_000_000, 3
    numbers = counts.numbers()
    assert (numbers["engine_ms"], numbers["tick_ms"], numbers["ticks"]) == (1.5, 2.0, 3)
