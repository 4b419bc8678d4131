"""The quantile function of the beta distribution; a room of its own since NumPy has none.

F(x) = I_x(a, b), the regularised incomplete beta function, by its continued fraction; the quantile
by Newton's method, which a bracket keeps inside.
"""

from __future__ import annotations

import math

import numpy as np

from denoisert.runtime.sampling.schedules.schedule import Array

FRACTION_TERMS = 400
NEWTON_STEPS = 60
SMALLEST = 1e-300
EPSILON = 2.0**-53
ROUNDING = 4.0 * EPSILON


def distribution(x: Array, a: float, b: float) -> Array:
    """I_x(a, b), the share of the beta distribution below x.

    Args:
        x: in [0, 1].
        a: above 0.
        b: above 0.

    Returns:
        In [0, 1], to about 1e-15.

    Source: DiDonato and Morris 1992, ACM TOMS 18(3), 360; continued fraction of DLMF 8.17.22.
    """
    is_low = x <= (a + 1.0) / (a + b + 2.0)
    near = np.where(is_low, x, 1.0 - x)
    p, q = np.where(is_low, a, b), np.where(is_low, b, a)
    with np.errstate(divide="ignore"):
        front = np.exp(p * np.log(near) + q * np.log1p(-near) - _log_beta(a, b)) / p
    part = front / _fraction(near, p, q)
    return np.asarray(np.where(is_low, part, 1.0 - part))


def quantile(share: Array, a: float, b: float) -> Array:
    """x with I_x(a, b) = share.

    Args:
        share: in [0, 1].
        a: above 0.
        b: above 0.

    Returns:
        In [0, 1], to about 1e-14; exact at both ends.
    """
    low, high = np.zeros_like(share), np.ones_like(share)
    x = _guess(share, a, b)
    for _ in range(NEWTON_STEPS):
        excess = distribution(x, a, b) - share
        low, high = np.where(excess < 0.0, x, low), np.where(excess > 0.0, x, high)
        following = x - excess / _density(x, a, b)
        is_inside = (following > low) & (following < high)
        following = np.where(is_inside, following, 0.5 * (low + high))
        is_open = (np.abs(following - x) > ROUNDING * x) & (np.abs(excess) > ROUNDING * share)
        x = np.where(is_open, following, x)
        if not np.any(is_open):
            break
    return np.where(share <= 0.0, 0.0, np.where(share >= 1.0, 1.0, x))


def _guess(share: Array, a: float, b: float) -> Array:
    """From the first term of the series at the nearer end."""
    scale = math.exp(_log_beta(a, b))
    left = (np.maximum(share, SMALLEST) * a * scale) ** (1.0 / a)
    right = (np.maximum(1.0 - share, SMALLEST) * b * scale) ** (1.0 / b)
    guess = np.where(left < right, left, 1.0 - right)
    return np.clip(guess, SMALLEST, 1.0 - EPSILON)


def _density(x: Array, a: float, b: float) -> Array:
    inside = np.clip(x, SMALLEST, 1.0 - EPSILON)
    logarithm = (a - 1.0) * np.log(inside) + (b - 1.0) * np.log1p(-inside) - _log_beta(a, b)
    return np.maximum(np.exp(logarithm), SMALLEST)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _fraction(x: Array, p: Array, q: Array) -> Array:
    """1 + d_1 / (1 + d_2 / (1 + ...)), by the modified Lentz method."""
    value, c, d = np.ones_like(x), np.ones_like(x), np.zeros_like(x)
    for term in range(1, FRACTION_TERMS):
        m = term // 2
        if term % 2:
            numerator = -(p + m) * (p + q + m) * x / ((p + 2 * m) * (p + 2 * m + 1))
        else:
            numerator = m * (q - m) * x / ((p + 2 * m - 1) * (p + 2 * m))
        d = 1.0 / _away(1.0 + numerator * d)
        c = _away(1.0 + numerator / c)
        value = value * c * d
        if np.all(np.abs(c * d - 1.0) < ROUNDING):
            break
    return value


def _away(value: Array) -> Array:
    """`value`, kept from 0."""
    return np.where(np.abs(value) < SMALLEST, SMALLEST, value)
