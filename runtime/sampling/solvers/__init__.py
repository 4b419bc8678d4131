"""Solvers: how a run gets from one point of the grid to the next."""

from denoisert.runtime.sampling.solvers.bounded import Bounded
from denoisert.runtime.sampling.solvers.bridge import ResidualBridge
from denoisert.runtime.sampling.solvers.consistency import LCM, TCD, ConsistencyMultistep
from denoisert.runtime.sampling.solvers.ddim import DDIM, Euler, EulerAncestral
from denoisert.runtime.sampling.solvers.distilled import NoiseCorrected, TwoForwardOneBack
from denoisert.runtime.sampling.solvers.dpm_multistep import DPMpp2M
from denoisert.runtime.sampling.solvers.flow import FlowEuler, FlowHeun
from denoisert.runtime.sampling.solvers.flow_map import FlowMap, Shortcut, StepTold
from denoisert.runtime.sampling.solvers.heun import Heun
from denoisert.runtime.sampling.solvers.interpolant import (
    Diffusion,
    InterpolantSDE,
    TwoSidedInterpolant,
)
from denoisert.runtime.sampling.solvers.solver import Solver

__all__ = [
    "DDIM",
    "LCM",
    "TCD",
    "Bounded",
    "ConsistencyMultistep",
    "DPMpp2M",
    "Diffusion",
    "Euler",
    "EulerAncestral",
    "FlowEuler",
    "FlowHeun",
    "FlowMap",
    "Heun",
    "InterpolantSDE",
    "NoiseCorrected",
    "ResidualBridge",
    "Shortcut",
    "Solver",
    "StepTold",
    "TwoForwardOneBack",
    "TwoSidedInterpolant",
]
