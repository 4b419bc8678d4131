"""Truths to compare with: tables run in float64, denoisers known in closed form, exact moments."""

from denoisert.runtime.sampling.oracle.denoiser import Denoiser, network
from denoisert.runtime.sampling.oracle.execute import Network, Run, execute
from denoisert.runtime.sampling.oracle.gaussian import Gaussian
from denoisert.runtime.sampling.oracle.mixture import Mixture
from denoisert.runtime.sampling.oracle.moments import Moments, propagate

__all__ = [
    "Denoiser",
    "Gaussian",
    "Mixture",
    "Moments",
    "Network",
    "Run",
    "execute",
    "network",
    "propagate",
]
