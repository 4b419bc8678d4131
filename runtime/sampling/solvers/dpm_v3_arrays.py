"""The arrays of one DPM-Solver-v3 step: integrals of a network's statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np

from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.solvers.model_statistics import Array, Statistics


class Derivatives(Enum):
    """How derivatives of g come from its values.

    FITTED: those of the polynomial through all points. DIVIDED: n! times the n-th divided
    difference, the paper's pseudo-order method, steadier in few steps.
    """

    FITTED = "fitted"
    DIVIDED = "divided"

    def __repr__(self) -> str:
        return f"Derivatives.{self.name}"

    def weights(self, positions: Sequence[float]) -> Array:
        """W with g^(n)(positions[0]) = sum_j W[n - 1, j] g_j, n = 1 .. points - 1."""
        count, x = len(positions), np.array(positions)
        found = np.zeros((count - 1, count))
        if self is Derivatives.FITTED:
            found = np.linalg.inv(np.vander(x - x[0], increasing=True))[1:]
        else:
            differences = np.eye(count)
            for n in range(1, count):
                differences = (differences[:-1] - differences[1:]) / (x[:-n] - x[n:])[:, None]
                found[n - 1] = differences[0]
        factorials = [math.factorial(n) for n in range(1, count)]
        return np.asarray(found * np.array(factorials, np.float64)[:, None])


class Update(NamedTuple):
    """x' = keep x + sum_j gains_j f_j + bias, arrays over the elements.

    Args:
        keep: of x.
        gains: of f at every node, the step's start first.
        bias: alone.
    """

    keep: Array
    gains: list[Array]
    bias: Array


def update(
    grid: Grid, step: int, nodes: Sequence[int], statistics: Statistics, derivatives: Derivatives
) -> Update:
    """One step of a grid through f at some of its points.

    Args:
        grid: its points are indexed by step and nodes.
        step: where it starts.
        nodes: points of the polynomial, the first of them step.
        statistics: l, s and b.
        derivatives: how g^(n) are taken.
    """
    now, after = grid[step], grid[step + 1]
    stretch = statistics.between(now.half_logsnr, after.half_logsnr)
    shrink = np.exp(-stretch.linear[-1])
    kernel = np.exp(stretch.linear + stretch.scale)
    levels = [grid[node].half_logsnr for node in nodes]
    weights = derivatives.weights(levels)
    moments = [
        stretch.integral(kernel * (stretch.x**n / math.factorial(n))[:, None])
        for n in range(len(nodes))
    ]
    bias, gains = stretch.integral(kernel * stretch.bias), []
    for j, level in enumerate(levels):
        gain = sum((moments[n] * weights[n - 1, j] for n in range(1, len(nodes))), 0.0 * shrink)
        if j == 0:
            gains.append(moments[0] + gain)
            continue
        scale, shift = _reach(statistics, now.half_logsnr, level)
        gains.append(gain * np.exp(-scale))
        bias = bias - gain * shift
    factor = -after.alpha * shrink
    return Update(
        after.alpha / now.alpha * shrink, [factor * gain for gain in gains], factor * bias
    )


def _reach(statistics: Statistics, origin: float, level: float) -> tuple[Array, Array]:
    """S and B from the origin to a level."""
    stretch = statistics.between(origin, level)
    end = -1 if level > origin else 0
    return stretch.scale[end], stretch.bias[end]
