"""One sampler on exact data: its samples, its exact moments, its errors over steps."""

import numpy as np

from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import execute, propagate, solve
from denoisert.runtime.sampling.parametrisation import Parametrisation

EPS, X0, V, FLOW, SCORE = (Parametrisation(name) for name in ("eps", "x0", "v", "flow", "score"))


def table_of(solver, grid, parametrisation=V, guidance=None):
    """The table that the runtime would run."""
    return fold(solver.rows(grid), parametrisation, guidance or Unguided())


def samples(solver, grid, data, noise, parametrisation=V, *, guidance=None, **externals):
    """Where a sampler takes noise; data is one denoiser, or one for each condition."""
    denoisers = data if isinstance(data, list) else [data]
    table = table_of(solver, grid, parametrisation, guidance)
    return solve(table, denoisers, parametrisation, noise, externals).latent


def answered(solver, grid, network, noise, parametrisation=V, **externals):
    """Where a sampler takes noise with any network(latent, model_time, condition)."""
    layout = StateLayout((Part("x", np.shape(noise[0])),))
    table = table_of(solver, grid, parametrisation)
    return execute(table, layout, network, noise, externals).latent


def moments(solver, grid, data, parametrisation=V, **externals):
    """Exact mean and variance of a sampler's result on Gaussian data."""
    table = table_of(solver, grid, parametrisation)
    found = propagate(table, [data], parametrisation, externals)
    return float(found.mean[0]), float(found.covariance[0, 0])


def halvings(errors):
    """log2 of how much each error is less than the one before."""
    return np.log2(np.divide(errors[:-1], errors[1:]))
