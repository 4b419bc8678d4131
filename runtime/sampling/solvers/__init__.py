"""Solvers: how a run gets from one point of the grid to the next."""

from denoisert.runtime.sampling.solvers.adams import IPNDM, LMS, Nodes
from denoisert.runtime.sampling.solvers.bounded import Bounded
from denoisert.runtime.sampling.solvers.bridge import ResidualBridge
from denoisert.runtime.sampling.solvers.butcher import Scheme
from denoisert.runtime.sampling.solvers.consistency import LCM, TCD, ConsistencyMultistep
from denoisert.runtime.sampling.solvers.coupled import BDIA, EDICT, Latents
from denoisert.runtime.sampling.solvers.ddim import DDIM, Euler, EulerAncestral
from denoisert.runtime.sampling.solvers.ddpm import DDPM, Variance
from denoisert.runtime.sampling.solvers.deis import DEIS
from denoisert.runtime.sampling.solvers.distilled import NoiseCorrected, TwoForwardOneBack
from denoisert.runtime.sampling.solvers.dpm import Ending, Estimate, Form
from denoisert.runtime.sampling.solvers.dpm2 import DPM2, DPM2Ancestral
from denoisert.runtime.sampling.solvers.dpm_blocks import (
    DPMppBlocks,
    DPMppBlocksSDE,
    DPMSolverBlocks,
)
from denoisert.runtime.sampling.solvers.dpm_fast import DPMFast
from denoisert.runtime.sampling.solvers.dpm_multistep import (
    DPMpp2M,
    DPMpp3M,
    DPMSolver2M,
    DPMSolver3M,
)
from denoisert.runtime.sampling.solvers.dpm_multistep_sde import (
    DPMpp2MSDE,
    DPMpp3MSDE,
    SDEDPMSolver1,
    SDEDPMSolver2M,
)
from denoisert.runtime.sampling.solvers.dpm_sde import DPMpp2SAncestral, DPMppSDE
from denoisert.runtime.sampling.solvers.dpm_singlestep import (
    DPMpp2S,
    DPMpp3S,
    DPMSolver2,
    DPMSolver3,
)
from denoisert.runtime.sampling.solvers.dpm_v3 import DPMSolverV3
from denoisert.runtime.sampling.solvers.dpm_v3_arrays import Derivatives
from denoisert.runtime.sampling.solvers.edm import EDMEuler, EDMHeun
from denoisert.runtime.sampling.solvers.er_sde import ERSDE, NoiseScale, Quadrature
from denoisert.runtime.sampling.solvers.evodiff import EVODiff, LastStep
from denoisert.runtime.sampling.solvers.exponential import Slope
from denoisert.runtime.sampling.solvers.flow import FlowEuler, FlowHeun, FlowRungeKutta
from denoisert.runtime.sampling.solvers.flow_ancestral import FlowEulerAncestral
from denoisert.runtime.sampling.solvers.flow_map import FlowMap, Shortcut, StepTold
from denoisert.runtime.sampling.solvers.heun import Heun
from denoisert.runtime.sampling.solvers.inpainted import Inpainted, KnownNoise
from denoisert.runtime.sampling.solvers.interpolant import (
    Diffusion,
    InterpolantSDE,
    TwoSidedInterpolant,
)
from denoisert.runtime.sampling.solvers.inverse import Inverse
from denoisert.runtime.sampling.solvers.inversion import Told
from denoisert.runtime.sampling.solvers.pndm import PLMS, PNDM
from denoisert.runtime.sampling.solvers.predictor_corrector import (
    Correction,
    Predictor,
    PredictorCorrector,
)
from denoisert.runtime.sampling.solvers.recorded import NoiseEncoder, NoiseReplay
from denoisert.runtime.sampling.solvers.res import RES, RESMultistep
from denoisert.runtime.sampling.solvers.restart import Restart
from denoisert.runtime.sampling.solvers.runge_kutta import RungeKutta
from denoisert.runtime.sampling.solvers.sa import SASolver
from denoisert.runtime.sampling.solvers.solver import Solver
from denoisert.runtime.sampling.solvers.unipc import Corrector, UniPC

__all__ = [
    "BDIA",
    "DDIM",
    "DDPM",
    "DEIS",
    "DPM2",
    "EDICT",
    "ERSDE",
    "IPNDM",
    "LCM",
    "LMS",
    "PLMS",
    "PNDM",
    "RES",
    "TCD",
    "Bounded",
    "ConsistencyMultistep",
    "Correction",
    "Corrector",
    "DPM2Ancestral",
    "DPMFast",
    "DPMSolver2",
    "DPMSolver2M",
    "DPMSolver3",
    "DPMSolver3M",
    "DPMSolverBlocks",
    "DPMSolverV3",
    "DPMpp2M",
    "DPMpp2MSDE",
    "DPMpp2S",
    "DPMpp2SAncestral",
    "DPMpp3M",
    "DPMpp3MSDE",
    "DPMpp3S",
    "DPMppBlocks",
    "DPMppBlocksSDE",
    "DPMppSDE",
    "Derivatives",
    "Diffusion",
    "EDMEuler",
    "EDMHeun",
    "EVODiff",
    "Ending",
    "Estimate",
    "Euler",
    "EulerAncestral",
    "FlowEuler",
    "FlowEulerAncestral",
    "FlowHeun",
    "FlowMap",
    "FlowRungeKutta",
    "Form",
    "Heun",
    "Inpainted",
    "InterpolantSDE",
    "Inverse",
    "KnownNoise",
    "LastStep",
    "Latents",
    "Nodes",
    "NoiseCorrected",
    "NoiseEncoder",
    "NoiseReplay",
    "NoiseScale",
    "Predictor",
    "PredictorCorrector",
    "Quadrature",
    "RESMultistep",
    "ResidualBridge",
    "Restart",
    "RungeKutta",
    "SASolver",
    "SDEDPMSolver1",
    "SDEDPMSolver2M",
    "Scheme",
    "Shortcut",
    "Slope",
    "Solver",
    "StepTold",
    "Told",
    "TwoForwardOneBack",
    "TwoSidedInterpolant",
    "UniPC",
    "Variance",
]
