"""Lanes over buckets and back, and how far an answer moves with its company."""

from __future__ import annotations

import numpy as np
import pytest

from denoisert.export.batches import Company, Spread, companies, largest_change, part_of

ALL = tuple(range(1, 17))


def inputs(lanes: int) -> dict[str, np.ndarray]:
    return {"x": np.arange(2.0 * lanes).reshape(lanes, 2), "time": np.array([7.0])}


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 5, 8, 9])
@pytest.mark.parametrize("buckets", [(1,), (4,), (2, 3), (1, 2, 4), ALL])
def test_what_is_spread_is_joined_again(lanes, buckets):
    asked = inputs(lanes)
    spread = Spread.of(asked, lanes, buckets, ("time",))
    assert all(
        len(part["x"]) == call.bucket
        for call, part in zip(spread.calls, spread.inputs, strict=True)
    )
    assert {call.bucket for call in spread.calls} <= set(buckets)
    assert all(np.array_equal(part["time"], [7.0]) for part in spread.inputs)
    answers = [{"y": 3 * part["x"]} for part in spread.inputs]
    assert np.array_equal(spread.join(answers)["y"], 3 * asked["x"])


def test_padding_repeats_the_first_lane_of_its_call():
    (part,) = Spread.of(inputs(3), 3, (4,), ("time",)).inputs
    assert part["x"].tolist() == [[0, 1], [2, 3], [4, 5], [0, 1]]
    _, second = Spread.of(inputs(3), 3, (2,), ("time",)).inputs
    assert second["x"].tolist() == [[4, 5], [4, 5]]


def test_values_for_all_lanes_stay_whole():
    asked = {"x": np.arange(4.0), "time": np.array(3.0), "other": np.zeros((1, 9))}
    part = part_of(asked, Company(1, 2), ("time", "other"))
    assert part["x"].tolist() == [1, 2]
    assert (part["time"].shape, part["other"].shape) == ((), (1, 9))


@pytest.mark.parametrize(
    ("buckets", "most", "whole", "counts"),
    [
        (ALL, 8, 8, {1, 2, 4}),
        (ALL, 2, 2, {1}),
        ((1, 2, 3), 8, 3, {1, 2}),
        ((4,), 8, 4, set()),
        ((16,), 8, 16, set()),
        ((2, 16), 8, 2, set()),
        ((1,), 8, 1, set()),
    ],
)
def test_companies_are_those_that_the_buckets_allow(buckets, most, whole, counts):
    found, places = companies(buckets, most)
    assert found == whole
    assert {place.lanes for place in places} == counts
    assert {place.first for place in places} <= {0, *(whole - count for count in counts)}


def test_a_change_is_relative_to_the_largest_answer():
    whole = {"y": np.array([[1.0, -4.0], [2.0, 3.0]])}
    same = (Company(0, 2), {"y": whole["y"].copy()})
    moved = (Company(1, 1), {"y": np.array([[2.0, 3.5]])})
    assert largest_change(whole, [same]) == 0.0
    assert largest_change(whole, [same, moved]) == 0.125
    assert largest_change(whole, []) == 0.0


def test_another_bit_of_an_equal_number_is_a_change():
    whole = {"y": np.array([[0.0]], np.float32)}
    assert largest_change(whole, [(Company(0, 1), {"y": np.array([[-0.0]], np.float32)})]) > 0.0
    bad = (Company(0, 1), {"y": np.array([[np.nan]], np.float32)})
    assert largest_change({"y": np.ones((1, 1), np.float32)}, [bad]) == np.inf
