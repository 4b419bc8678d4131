"""Distances of sample sets against closed forms of Gaussians, and what must not change them."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.oracle import mmd, sliced_wasserstein

RNG = np.random.default_rng(1)
ONE, OTHER = RNG.standard_normal((300, 3)), 0.5 + 1.4 * RNG.standard_normal((200, 3))


def quantile_distance(one, other):
    """W_2 of two samples on a line by its definition, on a common multiple of both sizes."""
    n = np.lcm(len(one), len(other))
    first, second = (np.repeat(np.sort(v), n // len(v)) for v in (one, other))
    return np.sqrt(np.mean((first - second) ** 2))


def kernel_mean(mean, variance, bandwidth):
    """E k of a difference N(mean, variance) in one dimension."""
    total = bandwidth**2 + variance
    return bandwidth / np.sqrt(total) * np.exp(-(mean**2) / (2 * total))


@pytest.mark.parametrize(("n", "m"), [(5, 5), (6, 4), (7, 5), (1, 9), (50, 33)])
def test_on_a_line_it_is_the_distance_of_quantile_functions(n, m):
    rng = np.random.default_rng(n)
    one, other = rng.standard_normal(n), 2 + rng.standard_normal(m)
    found = sliced_wasserstein(one[:, None], other[:, None])
    assert found == pytest.approx(quantile_distance(one, other), rel=1e-12)


def test_between_gaussians_on_a_line_it_has_a_closed_form():
    rng = np.random.default_rng(2)
    one, other = rng.standard_normal((50_000, 1)), 0.7 + 1.5 * rng.standard_normal((50_000, 1))
    assert sliced_wasserstein(one, other) == pytest.approx(np.hypot(0.7, 0.5), abs=0.02)


def test_a_shift_costs_its_length_over_the_root_of_the_width():
    shift = np.array([0.3, -1.2, 0.5])
    many = sliced_wasserstein(ONE, ONE + shift, directions=20_000)
    assert many == pytest.approx(np.linalg.norm(shift) / np.sqrt(3), rel=0.02)


def test_sliced_wasserstein_is_a_metric_under_which_order_and_place_do_not_matter():
    found = sliced_wasserstein(ONE, OTHER)
    assert sliced_wasserstein(OTHER, ONE) == pytest.approx(found, rel=1e-12)
    assert sliced_wasserstein(ONE[::-1], OTHER) == pytest.approx(found, rel=1e-12)
    assert sliced_wasserstein(ONE + 3.0, OTHER + 3.0) == pytest.approx(found, rel=1e-9)
    assert sliced_wasserstein(2 * ONE, 2 * OTHER) == pytest.approx(2 * found, rel=1e-12)
    assert sliced_wasserstein(np.repeat(ONE, 2, axis=0), OTHER) == pytest.approx(found, rel=1e-12)
    assert sliced_wasserstein(ONE, ONE[::-1]) == 0.0
    third = RNG.standard_normal((100, 3)) - 1
    assert found <= sliced_wasserstein(ONE, third) + sliced_wasserstein(third, OTHER)


def test_the_seed_chooses_the_lines():
    assert sliced_wasserstein(ONE, OTHER, 4, seed=1) == sliced_wasserstein(ONE, OTHER, 4, seed=1)
    assert sliced_wasserstein(ONE, OTHER, 4, seed=1) != sliced_wasserstein(ONE, OTHER, 4, seed=2)


def test_mmd_is_the_mean_over_different_pairs():
    h, one, other = 0.8, ONE[:7], OTHER[:5]

    def mean(a, b, skip):
        values = [
            np.exp(-((x - y) ** 2).sum() / (2 * h**2))
            for i, x in enumerate(a)
            for j, y in enumerate(b)
            if not (skip and i == j)
        ]
        return np.mean(values)

    expected = mean(one, one, True) + mean(other, other, True) - 2 * mean(one, other, False)
    assert mmd(one, other, h) == pytest.approx(expected, rel=1e-11)


def test_mmd_between_gaussians_has_a_closed_form():
    rng, h = np.random.default_rng(3), 1.1
    found = [
        mmd(rng.standard_normal((150, 1)), 0.8 + 0.5 * rng.standard_normal((100, 1)), h)
        for _ in range(60)
    ]
    expected = sum(kernel_mean(0.0, 2 * v, h) for v in (1.0, 0.25)) - 2 * kernel_mean(0.8, 1.25, h)
    assert abs(np.mean(found) - expected) < 4 * np.std(found) / np.sqrt(len(found))
    assert np.std(found) < 0.2 * expected


def test_mmd_is_unbiased_at_nothing():
    rng = np.random.default_rng(4)
    found = [mmd(*rng.standard_normal((2, 40, 2)), bandwidth=1.0) for _ in range(200)]
    assert min(found) < 0 < max(found)
    assert abs(np.mean(found)) < 5 * np.std(found) / np.sqrt(len(found))


def test_mmd_keeps_its_value_where_it_must():
    found = mmd(ONE, OTHER)
    assert found > 0.01
    assert mmd(OTHER, ONE) == pytest.approx(found, rel=1e-10)
    assert mmd(ONE[::-1], OTHER) == pytest.approx(found, rel=1e-10)
    assert mmd(ONE + 100, OTHER + 100) == pytest.approx(found, rel=1e-8)
    assert mmd(7 * ONE, 7 * OTHER) == pytest.approx(found, rel=1e-10)  # the median scales along


def test_the_bandwidth_is_the_median_distance():
    pooled = np.concatenate([ONE, OTHER])
    pairs = [np.linalg.norm(x - pooled[i + 1 :], axis=1) for i, x in enumerate(pooled[:-1])]
    expected = mmd(ONE, OTHER, float(np.median(np.concatenate(pairs))))
    assert mmd(ONE, OTHER) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("distance", [sliced_wasserstein, mmd])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros(3), np.zeros((3, 1))),
        (np.zeros((3, 2)), np.zeros((3, 1))),
        (np.zeros((0, 2)), np.zeros((3, 2))),
    ],
)
def test_sets_of_other_shapes_are_refused(distance, one, other):
    with pytest.raises(InvalidInput, match="width"):
        distance(one, other)


def test_mmd_needs_pairs_and_a_bandwidth():
    for one, other, h in (
        (ONE[:1], OTHER, None),
        (ONE, OTHER, 0.0),
        (np.zeros((3, 1)), np.zeros((3, 1)), None),
    ):
        with pytest.raises(InvalidInput, match="bandwidth"):
            mmd(one, other, h)
