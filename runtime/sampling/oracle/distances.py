"""Distances between two sets of samples: sliced Wasserstein and maximum mean discrepancy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput

Array = NDArray[Any]

DIRECTIONS = 128


def sliced_wasserstein(
    one: Array, other: Array, directions: int = DIRECTIONS, seed: int = 0
) -> float:
    """Sliced 2-Wasserstein distance: the root mean square over lines of the distance on the line.

    On a line W_2^2 is the integral over u of (F^-1(u) - G^-1(u))^2, exact for two samples of any
    sizes. The lines are random but fixed by the seed; points of one element have one line.

    Args:
        one: (n, width).
        other: (m, width).
        directions: number of lines.
        seed: of the lines.

    Raises:
        InvalidInput: sets of other shapes.

    Source: Rabin et al. 2012, "Wasserstein barycenter and its application to texture mixing".
    """
    width = _width(one, other)
    lines = np.random.default_rng(seed).standard_normal((1 if width == 1 else directions, width))
    lines /= np.linalg.norm(lines, axis=1, keepdims=True)
    n, m = len(one), len(other)
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # quantiles times n m
    lengths = np.diff(ends, prepend=0) / (n * m)
    first = np.sort(one @ lines.T, axis=0)[(ends - 1) // m]
    second = np.sort(other @ lines.T, axis=0)[(ends - 1) // n]
    return float(np.sqrt(np.mean(lengths @ (first - second) ** 2)))


def mmd(one: Array, other: Array, bandwidth: float | None = None) -> float:
    """Unbiased squared maximum mean discrepancy under k(x, y) = exp(-|x - y|^2 / (2 h^2)).

    E k(x, x') + E k(y, y') - 2 E k(x, y) over different samples; negative values are noise about 0.

    Args:
        one: (n, width), n at least 2; memory grows with n m.
        other: (m, width), m at least 2.
        bandwidth: h; by default the median distance of all pairs of both sets.

    Raises:
        InvalidInput: sets of other shapes, a bandwidth that is not above 0, or equal points alone.

    Source: Gretton et al. 2012, "A kernel two-sample test", JMLR 13, lemma 6; the median heuristic
    in its section 8.
    """
    _width(one, other)
    n, m = len(one), len(other)
    together = np.concatenate([one, other]).astype(np.float64)
    squares = _squares(together)
    h = _median(squares) if bandwidth is None else bandwidth
    if min(n, m) < 2 or not h > 0.0:
        raise InvalidInput(
            f"{n} and {m} samples at bandwidth {h:g}; give at least 2 of each and a bandwidth "
            "above 0."
        )
    kernel = np.exp(-squares / (2.0 * h**2))
    np.fill_diagonal(kernel, 0.0)
    within = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1))
    return float(within - 2.0 * kernel[:n, n:].mean())


def _median(squares: Array) -> float:
    """The median distance of different points."""
    return float(np.sqrt(np.median(squares[np.triu_indices(len(squares), 1)])))


def _squares(points: Array) -> Array:
    """Squared distances of all pairs; centred first, which cancels less."""
    centred = points - points.mean(axis=0)
    norms = (centred**2).sum(axis=1)
    return np.asarray(np.maximum(norms[:, None] + norms - 2.0 * centred @ centred.T, 0.0))


def _width(one: Array, other: Array) -> int:
    if one.ndim != 2 or other.ndim != 2 or one.shape[1:] != other.shape[1:] or not one.size:
        raise InvalidInput(
            f"sample sets of shapes {one.shape} and {other.shape}; give (n, width) and (m, width)."
        )
    return int(one.shape[1])
