"""Solvers, data with an exact denoiser, and how a solver is run on them."""

import numpy as np

from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import Mixture, execute, network
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DPMpp2M,
    Euler,
    EulerAncestral,
    FlowEuler,
    FlowHeun,
    Heun,
)

X0 = Parametrisation.X0
DATA = Mixture(
    np.array([0.5, 0.3, 0.2]),
    np.array([[1.0, 0.4], [-0.8, 0.9], [0.1, -1.1]]),
    np.array([0.15, 0.25, 0.2]),
)
POINTS = 16
LAYOUT = StateLayout((Part("points", (POINTS, 2)),))
DETERMINISTIC = [DDIM(), Euler(), Heun(), DPMpp2M(lower_order_below=0)]
FLOWS = [FlowEuler(), FlowHeun()]
EVERY = [*DETERMINISTIC, *FLOWS, DDIM(1.0), EulerAncestral(0.5)]


def on(schedule):
    """Coordinates of a model time."""

    def lookup(time):
        alpha, sigma = schedule.at(np.array([time]))
        return float(alpha[0]), float(sigma[0])

    return lookup


def by_index(grid):
    """A grid whose model times are its indices, and what they mean."""
    indexed = Grid(grid.alpha, grid.sigma, np.arange(len(grid.alpha), dtype=float), 1.0)
    return indexed, lambda time: grid[int(time)][:2]


def run(solver, grid, lookup, noise, parametrisation=X0, *, data=DATA, guidance=None):
    table = fold(solver.rows(grid), parametrisation, guidance or Unguided())
    layout = StateLayout((Part("points", noise[0].shape),))
    return execute(table, layout, network([data, data], parametrisation, lookup), noise)
