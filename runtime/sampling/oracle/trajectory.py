"""The probability-flow ODE of an exact denoiser, followed finely: the truth for convergence.

The same curve has two charts. In log(sigma_ve) it is smooth between finite levels; in the time of
the linear path it reaches pure noise (alpha = 0) and clean data (sigma = 0).

    x_ve = x / alpha             dx_ve / dlog(sigma_ve) = sigma_ve E
    y = x / (alpha + sigma)      dy / dt = E - D,  t = sigma / (alpha + sigma)
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from denoisert.runtime.sampling.grid import Point
from denoisert.runtime.sampling.oracle.denoiser import Array, Denoiser

FINE = 1000
CLEAN = 1e-6  # t below which one more Euler step, which is D, errs by less than 1e-12


def runge_kutta(field: Callable[[Array, float], Array], x: Array, times: Array) -> Array:
    """The classical fourth-order method from times[0] to times[-1].

    Args:
        field: dx/dt at (x, t).
        x: at times[0].
        times: every point that it steps to.
    """
    for now, after in pairwise(np.asarray(times, np.float64).tolist()):
        h = after - now
        a = field(x, now)
        b = field(x + h / 2 * a, now + h / 2)
        c = field(x + h / 2 * b, now + h / 2)
        d = field(x + h * c, after)
        x = x + h / 6 * (a + 2 * b + 2 * c + d)
    return x


def follow(
    denoiser: Denoiser, latent: Array, first: Point, last: Point, steps: int = FINE
) -> Array:
    """Where the probability flow takes a latent.

    Args:
        denoiser: of the data.
        latent: x at `first`, flat.
        first: where the latent is.
        last: where it goes; with more noise than `first` the flow runs towards noise.
        steps: of the Runge-Kutta method.

    Returns:
        x at `last`.

    Source: the probability-flow ODE of Song et al. 2021, arXiv 2011.13456.
    """
    if first.alpha * first.sigma * last.alpha * last.sigma == 0.0:
        return _through_ends(denoiser, latent, first, last, steps)

    def field(x: Array, level: float) -> Array:
        sigma_ve = float(np.exp(level))
        return sigma_ve * denoiser.estimates(x, 1.0, sigma_ve)[1]

    levels = np.linspace(np.log(first.sigma_ve), np.log(last.sigma_ve), steps + 1)
    return last.alpha * runge_kutta(field, latent / first.alpha, levels)


def _through_ends(
    denoiser: Denoiser, latent: Array, first: Point, last: Point, steps: int
) -> Array:
    def field(y: Array, t: float) -> Array:
        denoised, noise = denoiser.estimates(y, 1.0 - t, t)
        return noise - denoised

    start, end = (point.sigma / (point.alpha + point.sigma) for point in (first, last))
    times = np.linspace(start, max(end, CLEAN), steps + 1)
    y = runge_kutta(field, latent / (first.alpha + first.sigma), times)
    if last.sigma == 0.0:
        y = denoiser.estimates(y, 1.0 - CLEAN, CLEAN)[0]
    return (last.alpha + last.sigma) * y
