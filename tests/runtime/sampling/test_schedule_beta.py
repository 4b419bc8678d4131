"""The quantiles of the beta distribution against scipy."""

import numpy as np
import pytest
import scipy.special
import scipy.stats

from denoisert.runtime.sampling.schedules.incomplete_beta import distribution, quantile

SHAPES = [(0.6, 0.6), (1.0, 1.0), (2.0, 3.0), (0.3, 5.0), (8.0, 0.2), (40.0, 40.0), (0.05, 0.05)]


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_distribution_is_that_of_scipy(a, b):
    x = np.concatenate([[0.0, 1e-12, 1e-5, 1 - 1e-9, 1.0], np.linspace(0.001, 0.999, 97)])
    expected = scipy.special.betainc(a, b, x)
    np.testing.assert_allclose(distribution(x, a, b), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_quantile_is_that_of_scipy(a, b):
    share = np.linspace(0.0, 1.0, 101)
    expected = scipy.stats.beta.ppf(share, a, b)
    np.testing.assert_allclose(quantile(share, a, b), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("a", "b"), SHAPES[:4])
def test_quantile_undoes_the_distribution(a, b):
    share = np.random.default_rng(3).uniform(0.0, 1.0, 200)
    np.testing.assert_allclose(distribution(quantile(share, a, b), a, b), share, atol=3e-14)
    np.testing.assert_array_equal(quantile(np.array([0.0, 1.0]), a, b), [0.0, 1.0])


def test_quantile_of_the_uniform_distribution_is_the_share():
    share = np.linspace(0, 1, 33)
    np.testing.assert_allclose(quantile(share, 1.0, 1.0), share, rtol=1e-15)


def test_quantiles_rise_and_mirror():
    share = np.linspace(0, 1, 501)
    found = quantile(share, 0.6, 2.5)
    assert np.all(np.diff(found) > 0)
    np.testing.assert_allclose(found, 1.0 - quantile(1.0 - share, 2.5, 0.6), atol=1e-14)
