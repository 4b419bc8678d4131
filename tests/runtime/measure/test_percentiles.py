"""Percentiles of few values, against NumPy and against drawing them again and again."""

from math import inf

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.percentiles import fewest, percentile, tail


@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("count", [1, 2, 3, 10, 41])
def test_percentile_is_numpys_linear_one(share, count):
    values = np.random.default_rng([count, 7]).standard_normal(count)
    before = values.copy()
    assert percentile(list(values), share) == pytest.approx(np.quantile(values, share), rel=1e-12)
    assert np.array_equal(values, before)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("count", [1, 2, 10, 99, 100, 101, 1000])
def test_the_value_is_numpys_inverted_distribution(share, count):
    values = list(np.random.default_rng([count, 8]).exponential(size=count))
    found = tail(values, share)
    assert found.value == np.quantile(values, share, method="inverted_cdf")
    assert found.value in values
    assert sum(value <= found.value for value in values) >= share * count - 1e-9


def test_a_share_that_rounds_up_takes_no_rank_more():
    assert 0.07 * 100 > 7
    assert tail(range(1, 101), 0.07).value == 7


def test_ten_values_have_no_bound_for_their_p99():
    found = tail(list(range(10)), 0.99)
    assert (found.value, found.bound, found.is_supported) == (9, inf, False)
    assert not tail([1.0], 0.5).is_supported


@pytest.mark.parametrize(("share", "count"), [(0.5, 5), (0.9, 29), (0.99, 299)])
def test_the_fewest_values_that_bound_are_those_of_the_tables(share, count):
    assert fewest(share) == count
    assert tail(range(count), share).bound == count - 1
    assert tail(range(count - 1), share).bound == inf


@pytest.mark.parametrize(("share", "count"), [(0.5, 20), (0.9, 60), (0.99, 400)])
def test_the_bound_holds_in_at_least_95_of_100_repetitions(share, count):
    draw = np.random.default_rng([17, count])
    truth = -np.log(1.0 - share)  # of the exponential distribution
    held = [tail(list(draw.exponential(size=count)), share).bound >= truth for _ in range(600)]
    assert np.mean(held) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / len(held))


def test_the_bound_is_the_lowest_one_that_holds():
    # Binomial (20, 0.5): P(X < 14) = 0.942, P(X < 15) = 0.979.
    assert tail(range(1, 21), 0.5).bound == 15


def test_many_values_are_no_problem_for_the_floats():
    found = tail(range(20_000), 0.99)
    assert found.value == 19_799
    assert found.value < found.bound < found.value + 40


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.0)])
def test_what_has_no_percentile_is_refused(values, share):
    with pytest.raises(InvalidInput, match="share"):
        tail(values, share)
