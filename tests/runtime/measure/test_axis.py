"""Ticks and places of axes."""

from math import log10

import numpy as np
import pytest

from denoisert.runtime.measure.axis import between, fitting, linear, logarithmic


@pytest.mark.parametrize(
    ("largest", "ticks"),
    [
        (4.9, (0, 1, 2, 3, 4, 5)),
        (5.0, (0, 1, 2, 3, 4, 5)),
        (5.1, (0, 2, 4, 6)),
        (0.3, (0, 0.1, 0.2, 0.3)),
        (87.0, (0, 20, 40, 60, 80, 100)),
        (1.0, (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
    ],
)
def test_linear_ticks_are_round_and_cover_the_values(largest, ticks):
    assert linear([0.1, largest], 0, 100).ticks == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.152, 0.189, (0.15, 0.16, 0.17, 0.18, 0.19)),
        (0.15, 0.19, (0.15, 0.16, 0.17, 0.18, 0.19)),
        (-3.0, 11.0, (-5, 0, 5, 10, 15)),
        (7.0, 7.1, (7.0, 7.02, 7.04, 7.06, 7.08, 7.1)),
    ],
)
def test_an_axis_between_values_ends_at_round_numbers_around_them(low, high, ticks):
    axis = between(low, high, 200, 100)
    assert axis.ticks == pytest.approx(ticks)
    assert (axis.place(axis.low), axis.place(axis.high)) == (200, 100)
    assert 100 <= axis.place(high) < axis.place(low) <= 200


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([3, 40], (2, 5, 10, 20, 50)),
        ([1, 100], (1, 2, 5, 10, 20, 50, 100)),
        ([0.04, 0.3], (0.02, 0.05, 0.1, 0.2, 0.5)),
        ([20], (20, 50)),
    ],
)
def test_logarithmic_ticks_are_one_two_five(values, ticks):
    assert logarithmic(values, 0, 100).ticks == pytest.approx(ticks)


def test_values_become_pixels():
    axis = linear([10.0], 300, 100)
    assert [axis.place(value) for value in (0, 5, 10)] == [300, 200, 100]
    assert (axis.place(-4), axis.place(99)) == (300, 100)
    axis = logarithmic([1, 100], 0, 200)
    assert [axis.place(value) for value in (1, 10, 100)] == pytest.approx([0, 100, 200])
    assert axis.place(0.0) == 0


@pytest.mark.parametrize("seed", range(20))
def test_random_values_always_fit(seed):
    draw = np.random.default_rng(seed)
    values = list(10.0 ** draw.uniform(-4, 6, size=draw.integers(1, 9)))
    axis = fitting(values, 0.0, 1.0)
    assert axis.low <= min(values)
    assert max(values) <= axis.high
    assert axis.ticks[0] == axis.low
    assert axis.ticks[-1] == axis.high
    places = [axis.place(value) for value in sorted(values)]
    assert places == sorted(places)
    assert 0.0 <= places[0] <= places[-1] <= 1.0
    if not axis.is_log:
        assert 3 <= len(axis.ticks) <= 7


def test_wide_values_get_a_logarithm():
    assert fitting([1.0, 21.0], 0, 1).is_log
    assert not fitting([1.0, 19.0], 0, 1).is_log
    assert log10(fitting([1.0, 21.0], 0, 1).low) == 0


def test_nothing_to_show_is_an_axis_too():
    for axis in (linear([], 0, 1), logarithmic([0.0], 0, 1), fitting([], 0, 1), linear([0], 0, 1)):
        assert axis.low < axis.high
