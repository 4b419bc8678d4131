"""Interleaved timing."""

from time import sleep

import pytest

from denoisert.runtime.measure.clock import interleaved


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
