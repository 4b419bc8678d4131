"""Coefficients of exponential Adams methods against quadrature, limits and exact cases."""

from fractions import Fraction
from math import exp, factorial, inf

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.solvers.dpm import Estimate
from denoisert.runtime.sampling.solvers.exponential import (
    Slope,
    Span,
    lagrange,
    moments,
    reflected,
)
from denoisert.runtime.sampling.solvers.exponential_rows import (
    check_order,
    check_slope,
    earlier,
    falling,
)

CLEAN, NOISE = Estimate
NODES, WEIGHTS = np.polynomial.legendre.leggauss(60)


def exact(z, k):
    """int_0^1 z exp(-z y) y^k dy as a fraction: its alternating series, which cannot round."""
    z = Fraction(z)
    power, total = z, Fraction(0)
    for j in range(60 + 4 * int(z)):
        total += power / factorial(j) / (k + j + 1)
        power *= -z
    return total


@pytest.mark.parametrize("z", [1e-12, 1e-5, 0.03, 0.7, 1.0, 4.0, 12.5, 29.9, 30.1, 45.0])
def test_moments_are_exact_to_rounding(z):
    for count in (1, 2, 5):
        found = moments(z, count)
        for k in range(count):
            assert abs(Fraction(float(found[k])) / exact(z, k) - 1) < 4e-14


def test_moments_at_the_limits():
    np.testing.assert_array_equal(moments(inf, 4), [1, 0, 0, 0])
    np.testing.assert_array_equal(reflected(moments(inf, 4)), [1, 1, 1, 1])
    tiny = moments(1e-200, 3) / 1e-200
    np.testing.assert_allclose(tiny, [1, 1 / 2, 1 / 3], rtol=1e-14)
    np.testing.assert_allclose(moments(800.0, 3), [1, 1 / 800, 2 / 800**2], rtol=1e-13)


@pytest.mark.parametrize("z", [1e-6, 0.4, 3.0, 20.0])
def test_reflection_is_the_integral_from_the_other_end(z):
    y = (NODES + 1) / 2
    kernel = WEIGHTS / 2 * z * np.exp(-z * (1 - y))
    expected = [kernel @ y**k for k in range(5)]
    np.testing.assert_allclose(reflected(moments(z, 5)), expected, rtol=1e-11)


@pytest.mark.parametrize("estimate", [CLEAN, NOISE])
@pytest.mark.parametrize("others", [[], [-1.0], [1.0], [-0.3, -2.0], [1.0, -0.7, -1.1, -3.0]])
@pytest.mark.parametrize("z", [1e-4, 0.2, 2.5, 9.0])
def test_lagrange_weights_integrate_polynomials_exactly(z, others, estimate):
    """A polynomial through all points is integrated without error, so weights are unique."""
    points = np.array([0.0, *others])
    weights = lagrange(others, z, estimate)
    y = (NODES + 1) / 2
    kernel = WEIGHTS / 2 * z * np.exp(-z * ((1 - y) if estimate is CLEAN else y))
    for power in range(len(points)):
        expected = kernel @ (y - 0.4) ** power
        assert abs(weights @ (points - 0.4) ** power - expected) < 1e-12 * max(1.0, z)


def test_slopes_of_two_points():
    z = 0.8
    mean, half = reflected(moments(z, 2))[1], -np.expm1(-z) / 2
    for slope, expected in ((Slope.EXACT, mean), (Slope.BH1, z / 2), (Slope.BH2, half)):
        weights = lagrange([-0.5], z, CLEAN, slope)
        np.testing.assert_allclose(weights, [-np.expm1(-z) + 2 * expected, -2 * expected])
    for slope, expected in ((Slope.BH1, z * exp(-z) / 2), (Slope.BH2, half)):
        np.testing.assert_allclose(lagrange([1.0], z, NOISE, slope)[1], expected)
        three = lagrange([1.0, -0.5], z, NOISE, slope)
        np.testing.assert_array_equal(three, lagrange([1.0, -0.5], z, NOISE))


@pytest.mark.parametrize("tau", [0.0, 0.6, 1.0])
def test_one_point_keeps_a_constant_estimate_and_the_variance(tau):
    """With x = alpha d + sigma e the mean is exact for D = d, and noise restores sigma'."""
    before, after = Point(0.6, 0.8, 5.0), Point(0.8, 0.6, 3.0)
    update = Span(before, after, CLEAN, tau).predictor([])
    assert abs(update.keep * before.alpha + update.gains[0] - after.alpha) < 1e-15
    variance = (update.keep * before.sigma) ** 2 + update.spread**2
    assert abs(variance - after.sigma**2) < 1e-15
    plain = Span(before, after, NOISE).predictor([])
    assert abs(plain.keep * before.sigma + plain.gains[0] - after.sigma) < 1e-15


def test_noise_form_has_the_same_first_order_variance():
    """For E both noises agree to first order in h: tau^2 sigma'^2 2 h."""
    for h in (1e-2, 1e-3):
        level = 1.0
        before, after = (Point(1.0, s, 1.0) for s in (level, level * exp(-h)))
        found = Span(before, after, NOISE, 0.7).predictor([]).spread ** 2
        assert abs(found / (0.49 * 2 * h) - 1.0) < 3 * h


def test_infinite_steps_have_limits():
    noise, middle, clean = Point(0.0, 1.0, 9.0), Point(0.5, 0.5, 5.0), Point(1.0, 0.0, 0.0)
    for estimate in (CLEAN, NOISE):
        first = Span(noise, middle, estimate).predictor([])
        if estimate is CLEAN:
            assert (first.keep, first.gains, first.clean) == (0.5, (0.5,), 0.0)
        else:
            assert (first.keep, first.gains, first.clean) == (0.0, (0.5,), 0.5)
        last = Span(middle, clean, estimate, 0.9).predictor([Point(0.2, 0.8, 8.0)])
        assert last.spread == 0.0
        assert len(last.gains) == 1
        assert last.keep + last.gains[0] == 1.0
    assert Span(noise, middle, NOISE).corrector([]) is None
    assert Span(noise, middle, NOISE).backward() is None
    with pytest.raises(InvalidInput, match="pure noise"):
        Span(noise, middle, NOISE, 0.5).predictor([])


def test_a_point_of_pure_noise_says_nothing_later():
    points = [Point(0.0, 1.0, 9.0), Point(0.3, 0.7, 7.0), Point(0.6, 0.4, 4.0)]
    span = Span(points[1], points[2], CLEAN)
    assert span.predictor([points[0]]) == span.predictor([])
    near = Point(1e-30, 1.0, 9.0)
    np.testing.assert_allclose(
        span.predictor([near]).gains, [*span.predictor([]).gains, 0.0], atol=0.02
    )


def test_orders_rise_and_fall():
    assert [falling(3, step, 6) for step in range(6)] == [1, 2, 3, 3, 2, 1]
    assert [falling(4, step, 3) for step in range(3)] == [1, 2, 1]
    grid = Grid(np.linspace(0.1, 1, 5), np.linspace(0.9, 0, 5), np.arange(5.0), 1.0)
    assert [point.model_time for point in earlier(grid, 3, 2)] == [2.0, 1.0]
    assert earlier(grid, 0, 3) == []


def test_what_is_refused():
    for value in (0, 5, 2.0):
        with pytest.raises(InvalidInput, match="whole number"):
            check_order("order", value, 4)
    endless = Grid(np.array([0.1, 1.0]), np.array([0.9, 0.0]), np.arange(2.0), 1.0)
    pure = Grid(np.array([0.0, 0.9]), np.array([1.0, 0.1]), np.arange(2.0), 1.0)
    for grid in (endless, pure):
        with pytest.raises(InvalidInput, match="infinite length"):
            check_slope(grid, Slope.BH1)
        check_slope(grid, Slope.BH2)
