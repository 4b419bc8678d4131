"""Ranges are pushed and popped in pairs, or nothing happens."""

import importlib.util

import pytest

from denoisert.runtime.measure.nvtx import NoRanges, NvtxRanges, ranges


class Domain:
    """Writes down what a profiler would draw."""

    def __init__(self):
        self.seen = []

    def get_event_attributes(self, *, message):
        self.seen.append(("made", message))
        return message

    def push_range(self, attributes):
        self.seen.append(("push", attributes))

    def pop_range(self):
        self.seen.append(("pop", None))


def test_ranges_are_nested_and_closed_also_when_something_fails():
    domain = Domain()
    drawn = NvtxRanges(domain)
    with pytest.raises(KeyError), drawn.span("tick"), drawn.span("engine"):
        raise KeyError
    pairs = [("made", "tick"), ("push", "tick"), ("made", "engine"), ("push", "engine")]
    assert domain.seen == [*pairs, ("pop", None), ("pop", None)]


def test_attributes_are_made_once_per_name():
    domain = Domain()
    drawn = NvtxRanges(domain)
    for _ in range(3):
        with drawn.span("tick"):
            pass
    assert domain.seen.count(("made", "tick")) == 1
    assert domain.seen.count(("push", "tick")) == 3


def test_without_the_package_a_range_is_nothing():
    found = ranges()
    assert isinstance(found, NoRanges) == (importlib.util.find_spec("nvtx") is None)
    with found.span("tick"), NoRanges().span("engine"):
        pass
