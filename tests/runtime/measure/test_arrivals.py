"""Arrivals of a Poisson process."""

import numpy as np
import pytest

from denoisert.runtime.measure.arrivals import poisson


def test_the_same_seed_gives_the_same_arrivals():
    assert list(poisson(3.0, 20.0, 5)) == list(poisson(3.0, 20.0, 5))
    assert list(poisson(3.0, 20.0, 5)) != list(poisson(3.0, 20.0, 6))


@pytest.mark.parametrize("rate", [0.5, 7.0, 200.0])
def test_times_ascend_inside_the_window(rate):
    times = np.array(list(poisson(rate, 10.0, 1)))
    assert times.min() > 0
    assert times.max() < 10.0
    assert np.all(np.diff(times) > 0)


def test_counts_have_the_mean_and_variance_of_poisson():
    counts = np.array([len(list(poisson(4.0, 25.0, seed))) for seed in range(400)])
    error = 3 * np.sqrt(100 / len(counts))  # of the mean; the variance's is 3 * 100 sqrt(2 / 400)
    assert abs(counts.mean() - 100) < error
    assert abs(counts.var() - 100) < 3 * 100 * np.sqrt(2 / len(counts))


def test_gaps_forget_what_was_before():
    gaps = np.diff(list(poisson(1.0, 20_000.0, 3)))
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 3 / np.sqrt(len(gaps))
    # memoryless: P(gap > 2 | gap > 1) = P(gap > 1) = 1/e
    assert np.mean(gaps[gaps > 1] > 2) == pytest.approx(np.exp(-1), abs=0.02)


def test_a_short_window_may_be_empty():
    assert list(poisson(0.001, 0.001, 0)) == []
