"""Truths to compare with: exact denoisers and densities, exact moments and likelihoods, slopes."""

from denoisert.runtime.sampling.oracle.affine import Affine, compose
from denoisert.runtime.sampling.oracle.bound import Bound, variational_bound
from denoisert.runtime.sampling.oracle.correlated import Correlated
from denoisert.runtime.sampling.oracle.denoiser import Denoiser, network
from denoisert.runtime.sampling.oracle.distances import mmd, sliced_wasserstein
from denoisert.runtime.sampling.oracle.execute import Network, Run, execute
from denoisert.runtime.sampling.oracle.gaussian import Gaussian
from denoisert.runtime.sampling.oracle.likelihood import (
    Likelihood,
    affine_log_density,
    preimage,
    pushed,
    table_map,
)
from denoisert.runtime.sampling.oracle.mixture import Mixture
from denoisert.runtime.sampling.oracle.moments import Moments, propagate, propagate_points
from denoisert.runtime.sampling.oracle.reflected import Reflected, reflect
from denoisert.runtime.sampling.oracle.slopes import (
    Convergence,
    between_levels,
    between_times,
    strong_errors,
    weak_errors,
)
from denoisert.runtime.sampling.oracle.solve import exact, solve
from denoisert.runtime.sampling.oracle.trajectory import follow, runge_kutta

__all__ = [
    "Affine",
    "Bound",
    "Convergence",
    "Correlated",
    "Denoiser",
    "Gaussian",
    "Likelihood",
    "Mixture",
    "Moments",
    "Network",
    "Reflected",
    "Run",
    "affine_log_density",
    "between_levels",
    "between_times",
    "compose",
    "exact",
    "execute",
    "follow",
    "mmd",
    "network",
    "preimage",
    "propagate",
    "propagate_points",
    "pushed",
    "reflect",
    "runge_kutta",
    "sliced_wasserstein",
    "solve",
    "strong_errors",
    "table_map",
    "variational_bound",
    "weak_errors",
]
