"""Quantiles of few values: what was seen, and what that says about the ones not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, inf, lgamma, log, log1p

from denoisert.runtime.errors import InvalidInput

CONFIDENCE = 0.95
ROUNDING = 1e-9  # 0.07 * 100 is 7.000000000000001, which is rank 7 and not 8


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie, linear between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


@dataclass(frozen=True, slots=True)
class Tail:
    """A percentile of latencies.

    Args:
        share: for example 0.99.
        value: the smallest latency that at least `share` of the requests did not exceed; one that
            really occurred.
        bound: with 95 % confidence the true percentile is at most this; infinite where there are
            too few values to say so.
    """

    share: float
    value: float
    bound: float

    @property
    def is_supported(self) -> bool:
        """Whether the values are enough to bound the percentile at all."""
        return self.bound < inf


def tail(values: Sequence[float], share: float) -> Tail:
    """A percentile as an order statistic, with a bound that assumes no distribution.

    The r-th smallest of n values is at least the true percentile with probability P(X < r), X
    binomial (n, share).

    Args:
        values: at least one, in any order.
        share: in (0, 1).

    Returns:
        The percentile and its upper bound.

    Raises:
        InvalidInput: no values, or a share outside its range.

    Source: H. A. David and H. N. Nagaraja, Order Statistics (2003), section 7.1.
    """
    if not values or not 0.0 < share < 1.0:
        raise InvalidInput(f"share {share} of {len(values)} values; give values and 0 < share < 1.")
    ordered = sorted(values)
    rank = max(1, ceil(share * len(ordered) - ROUNDING))
    upper = _upper_rank(len(ordered), share)
    return Tail(share, ordered[rank - 1], inf if upper is None else ordered[upper - 1])


def fewest(share: float) -> int:
    """How many values bound a percentile with 95 % confidence: share^n <= 0.05."""
    count = 1
    while share**count > 1.0 - CONFIDENCE:
        count += 1
    return count


def _upper_rank(count: int, share: float) -> int | None:
    """The smallest rank r with P(X < r) >= 95 %, or None."""
    below = 0.0
    for rank in range(1, count + 1):
        below += _binomial(count, rank - 1, share)
        if below >= CONFIDENCE:
            return rank
    return None


def _binomial(count: int, hits: int, share: float) -> float:
    """P(X = hits), by logarithms: the factors alone leave the range of floats."""
    choices = lgamma(count + 1) - lgamma(hits + 1) - lgamma(count - hits + 1)
    return exp(choices + hits * log(share) + (count - hits) * log1p(-share))
