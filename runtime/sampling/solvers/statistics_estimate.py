"""Empirical model statistics of a network, from finite differences of its noise estimate.

Made once, ahead of sampling: it asks the network at noised data of every level.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.grid import Path, Point
from denoisert.runtime.sampling.solvers.model_statistics import Array, Statistics

NoiseEstimate = Callable[[Array, Point], Array]

LEAST = 1e-10  # of the mean square of a state: f of a variance below it does not vary


def estimate_statistics(
    noise_estimate: NoiseEstimate,
    path: Path,
    half_logsnr: Array,
    data: Array,
    *,
    seed: int = 0,
    probes: int = 1,
    distance: float = 1e-3,
) -> Statistics:
    """Statistics of a network from finite differences of its noise estimate.

    l = mean of v * sigma dE/dx v over data, noise and signs v (Hutchinson's diagonal);
    df/dlambda is the difference of f along the flow, which one DDIM step of +-distance follows to
    second order; s = cov(f, df) / var(f) and b = mean(df) - s mean(f), each over the data.

    Asks the network 2 probes + 3 times per level, about all data at once. The regression is as
    noisy as its samples are few: orders above 1 need hundreds of them.

    Args:
        noise_estimate: (x, point) -> E for x of (samples, elements), guidance included.
        path: gives alpha, sigma and model time of a level.
        half_logsnr: (M + 1,), rising; the levels.
        data: (samples, elements), at least 2 samples.
        seed: of noise and signs.
        probes: signs per datum.
        distance: in x and in lambda, of the differences.

    Raises:
        InvalidInput: fewer than 2 samples.

    Source: Zheng et al. 2023, arXiv 2310.13268; Bekas et al. 2007, "An estimator for the diagonal
    of a matrix".
    """
    if len(data) < 2:
        raise InvalidInput(f"{len(data)} samples; a regression needs at least 2.")
    rng = np.random.default_rng(seed)
    levels = np.asarray(half_logsnr, np.float64)
    points = _points(path, levels)
    states = [p.alpha * data + p.sigma * rng.standard_normal(data.shape) for p in points]
    places = list(zip(points, states, strict=True))
    linear = np.array([_diagonal(noise_estimate, *at, rng, probes, distance) for at in places])
    fitted = Statistics(levels, linear, 0.0 * linear, 0.0 * linear)
    lines = [
        _regression(*_along(noise_estimate, fitted, path, *at, distance), at[1] / at[0].alpha)
        for at in places
    ]
    scale, bias = (np.array(values) for values in zip(*lines, strict=True))
    return Statistics(levels, linear, scale, bias)


def _points(path: Path, half_logsnr: Array) -> list[Point]:
    levels = np.exp(-half_logsnr)
    alpha, sigma = path.coordinates(levels)
    times = path.model_time(levels)
    return [
        Point(float(a), float(s), float(t)) for a, s, t in zip(alpha, sigma, times, strict=True)
    ]


def _diagonal(
    noise_estimate: NoiseEstimate,
    point: Point,
    states: Array,
    rng: np.random.Generator,
    probes: int,
    distance: float,
) -> Array:
    """Mean of v * (sigma dE/dx v) over states and signs v."""
    total = np.zeros(states.shape[1])
    for _ in range(probes):
        v = rng.choice([-1.0, 1.0], states.shape)
        step = distance * point.sigma * v
        change = noise_estimate(states + step, point) - noise_estimate(states - step, point)
        total += (v * change).mean(axis=0) / (2.0 * distance)
    return total / probes


def _along(
    noise_estimate: NoiseEstimate,
    fitted: Statistics,
    path: Path,
    point: Point,
    states: Array,
    distance: float,
) -> tuple[Array, Array]:
    """f and df/dlambda at every state; at the ends of the levels the difference is one-sided."""
    here, knots = point.half_logsnr, fitted.half_logsnr
    nearby = [float(np.clip(here + sign * distance, knots[0], knots[-1])) for sign in (-1, 1)]
    noise = noise_estimate(states, point)
    clean = (states - point.sigma * noise) / point.alpha
    values = []
    for level, end in zip(nearby, _points(path, np.array(nearby)), strict=True):
        moved = end.alpha * clean + end.sigma * noise
        values.append(_integrand(noise_estimate(moved, end), moved, end, fitted.at(level)[0]))
    slopes = (values[1] - values[0]) / (nearby[1] - nearby[0])
    return _integrand(noise, states, point, fitted.at(here)[0]), slopes


def _integrand(noise: Array, x: Array, point: Point, linear: Array) -> Array:
    """f = (sigma E - l x) / alpha."""
    return (point.sigma * noise - linear * x) / point.alpha


def _regression(values: Array, slopes: Array, states: Array) -> tuple[Array, Array]:
    """s and b of slopes = s values + b, per element; s = 0 where the values do not vary.

    values are small differences of terms as large as the states, so what varies by less than a
    share of those is their rounding.
    """
    mean, spread = values.mean(axis=0), values.var(axis=0)
    both = ((values - mean) * (slopes - slopes.mean(axis=0))).mean(axis=0)
    is_varied = spread > LEAST * (states**2).mean(axis=0)
    scale = np.where(is_varied, both / np.where(is_varied, spread, 1.0), 0.0)
    return scale, slopes.mean(axis=0) - scale * mean
