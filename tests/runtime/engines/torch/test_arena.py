"""Places in the arena: nothing overlaps while it lives, and what can be shared is shared."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denoisert.runtime.engines.torch.arena import ALIGNMENT_BYTES, Span, aligned, place

SPANS = st.lists(
    st.tuples(st.integers(0, 3000), st.integers(0, 12), st.integers(0, 5)), max_size=25
)


def spans_of(entries):
    return {
        f"v{i}": Span(size, first, first + length)
        for i, (size, first, length) in enumerate(entries)
    }


@settings(max_examples=80, deadline=None)
@given(SPANS)
def test_what_lives_together_does_not_overlap(entries):
    spans = spans_of(entries)
    offsets, nbytes = place(spans)
    for one, other in itertools.combinations(spans, 2):
        is_apart = spans[one].last < spans[other].first or spans[other].last < spans[one].first
        ends = [offsets[name] + aligned(spans[name].nbytes) for name in (one, other)]
        assert is_apart or ends[0] <= offsets[other] or ends[1] <= offsets[one]
    assert all(offsets[name] + span.nbytes <= nbytes for name, span in spans.items())
    assert all(offset % ALIGNMENT_BYTES == 0 for offset in offsets.values())


@settings(max_examples=80, deadline=None)
@given(SPANS)
def test_the_whole_lies_between_the_peak_and_the_sum(entries):
    spans = spans_of(entries)
    _, nbytes = place(spans)
    sizes = {name: aligned(span.nbytes) for name, span in spans.items()}
    peak = max(
        (
            sum(sizes[name] for name, span in spans.items() if span.first <= step <= span.last)
            for step in range(20)
        ),
        default=0,
    )
    assert peak <= nbytes <= sum(sizes.values())


def test_a_chain_needs_two_places():
    spans = {f"v{i}": Span(1024, i, i + 1) for i in range(10)}
    assert place(spans)[1] == 2048


def test_a_gap_is_filled():
    spans = {"left": Span(512, 0, 9), "short": Span(1024, 0, 2), "late": Span(1000, 3, 9)}
    offsets, nbytes = place(spans)
    assert offsets["short"] == offsets["late"]
    assert nbytes == 1536


def test_a_value_that_is_read_while_the_next_is_written_keeps_its_place():
    spans = {"read": Span(256, 0, 1), "written": Span(256, 1, 2)}
    offsets, _ = place(spans)
    assert offsets["read"] != offsets["written"]


def test_nothing_needs_nothing():
    assert place({}) == ({}, 0)


@pytest.mark.parametrize(("nbytes", "wanted"), [(0, 0), (1, 256), (256, 256), (257, 512)])
def test_sizes_are_rounded_up(nbytes, wanted):
    assert aligned(nbytes) == wanted
