"""Solvers: how a run gets from one point of the grid to the next."""

from denoisert.runtime.sampling.solvers.bounded import Bounded
from denoisert.runtime.sampling.solvers.ddim import DDIM, Euler, EulerAncestral
from denoisert.runtime.sampling.solvers.dpm import DPMpp2M
from denoisert.runtime.sampling.solvers.flow import FlowEuler, FlowHeun
from denoisert.runtime.sampling.solvers.heun import Heun
from denoisert.runtime.sampling.solvers.solver import Solver

__all__ = [
    "DDIM",
    "Bounded",
    "DPMpp2M",
    "Euler",
    "EulerAncestral",
    "FlowEuler",
    "FlowHeun",
    "Heun",
    "Solver",
]
