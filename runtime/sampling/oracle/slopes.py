"""Convergence of a solver where the truth is known: errors over steps, and their slopes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle.denoiser import Array, Denoiser
from denoisert.runtime.sampling.oracle.gaussian import Gaussian
from denoisert.runtime.sampling.oracle.moments import propagate
from denoisert.runtime.sampling.oracle.solve import solve
from denoisert.runtime.sampling.oracle.trajectory import FINE, follow
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import NoiseSchedule
from denoisert.runtime.sampling.solvers import Solver

Grids = Callable[[int], Grid]

DATA = Parametrisation.X0  # the one that determines D and E at pure noise


@dataclass(frozen=True, slots=True)
class Convergence:
    """Errors of one solver.

    Args:
        steps: N of each run, rising.
        errors: one per run.
    """

    steps: tuple[int, ...]
    errors: tuple[float, ...]

    @property
    def slopes(self) -> NDArray[np.float64]:
        """-d log(error) / d log(N) between neighbours: the order, where N is large enough."""
        return -np.diff(np.log(self.errors)) / np.diff(np.log(self.steps))


def between_levels(path: NoiseSchedule, high: float, low: float) -> Grids:
    """Grids on a path whose log(sigma_ve) is even from one level to another.

    Args:
        path: gives alpha and sigma.
        high: sigma_ve of the first point.
        low: sigma_ve of the last.

    Returns:
        N -> grid; it starts from alpha_0 high xi.
    """

    def grid(steps: int) -> Grid:
        levels = np.geomspace(high, low, steps + 1)
        alpha, sigma = path.coordinates(levels)
        return Grid(alpha, sigma, path.model_time(levels), float(sigma[0]), path=path)

    return grid


def between_times(path: NoiseSchedule, first: float, last: float) -> Grids:
    """Grids on a linear path, even in t = sigma.

    Args:
        path: alpha = 1 - t, sigma = t.
        first: t of the first point, 1 for pure noise.
        last: t of the last, 0 for clean data.

    Returns:
        N -> grid; it starts from first xi.
    """

    def grid(steps: int) -> Grid:
        t = np.linspace(first, last, steps + 1)
        with np.errstate(divide="ignore"):
            times = path.model_time(t / (1.0 - t))
        return Grid(1.0 - t, t, times, first, path=path)

    return grid


def strong_errors(
    solver: Solver,
    grids: Grids,
    denoiser: Denoiser,
    noise: Array,
    steps: Sequence[int],
    fine: int = FINE,
) -> Convergence:
    """RMS distance between a deterministic solver and the probability flow, at the grid's end.

    Args:
        solver: draws nothing after its start.
        grids: N -> grid.
        denoiser: of the data.
        noise: xi_0, flat.
        steps: every N, rising.
        fine: steps of the reference.

    Raises:
        InvalidInput: the solver draws noise; see `weak_errors`.
    """
    errors = []
    truths: dict[tuple[object, ...], Array] = {}
    for count in steps:
        grid = grids(count)
        table = fold(solver.rows(grid), DATA, Unguided())
        if table.draws[1:].any():
            raise InvalidInput(f"{solver} draws noise; its errors are weak, see weak_errors.")
        found = solve(table, [denoiser], DATA, [noise]).latent
        ends = grid.noise_gain, grid[0][:2], grid[grid.steps][:2]
        if ends not in truths:
            start = grid.noise_gain * noise
            truths[ends] = follow(denoiser, start, grid[0], grid[grid.steps], fine)
        errors.append(float(np.sqrt(np.mean((found - truths[ends]) ** 2))))
    return Convergence(tuple(steps), tuple(errors))


def weak_errors(solver: Solver, grids: Grids, data: Gaussian, steps: Sequence[int]) -> Convergence:
    """|error of the mean| + |error of the variance| at the grid's end, exactly, without samples.

    The start is the exact marginal: the source latent is the Gaussian itself, noised.

    Args:
        solver: any whose table is linear.
        grids: N -> grid.
        data: of one mean and one variance.
        steps: every N, rising.
    """
    errors = []
    for count in steps:
        grid = grids(count).tail(1.0)
        table = fold(solver.rows(grid), DATA, Unguided())
        found = propagate(table, [data], DATA, {"source": [data]})
        end = grid[grid.steps]
        mean, variance = data.moments(end.alpha, end.sigma)
        errors.append(float(abs(found.mean[0] - mean) + abs(found.covariance[0, 0] - variance)))
    return Convergence(tuple(steps), tuple(errors))
