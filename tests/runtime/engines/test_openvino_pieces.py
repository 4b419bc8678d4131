"""Calls of OpenVINO: for which numbers of lanes, and how the others are made of them."""

import pytest

from denoisert.runtime.engines.engine import LARGEST_BUCKET
from denoisert.runtime.engines.openvino.pieces import (
    EVERY,
    LARGE_BYTES,
    OPEN,
    POWERS,
    SMALL_BYTES,
    divide,
    fitting,
)


@pytest.mark.parametrize("counts", [OPEN, POWERS, EVERY, (1,), (1, 3)])
@pytest.mark.parametrize("lanes", range(1, LARGEST_BUCKET + 1))
def test_every_lane_is_in_one_call(lanes, counts):
    pieces = divide(lanes, counts)
    covered = [lane for first, count in pieces for lane in range(first, first + count)]
    assert covered == list(range(lanes))
    assert not counts or {count for _, count in pieces} <= set(counts)


def test_larger_calls_come_first():
    assert divide(7, POWERS) == ((0, 4), (4, 2), (6, 1))
    assert divide(16, POWERS) == ((0, 4), (4, 4), (8, 4), (12, 4))
    assert divide(7, EVERY) == ((0, 7),)
    assert divide(7, OPEN) == ((0, 7),)


def test_larger_graphs_have_fewer_forms():
    assert fitting(0) == fitting(SMALL_BYTES) == EVERY
    assert fitting(SMALL_BYTES + 1) == fitting(LARGE_BYTES) == POWERS
    assert fitting(LARGE_BYTES + 1) == OPEN
