"""DenoiseRT's runtime: open a bundle, generate, measure. Names resolve on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from denoisert.runtime.engines.target import OnnxRuntime, Torch
    from denoisert.runtime.errors import DenoiseRTError
    from denoisert.runtime.events import Admitted, Ended, Preview, Stepped
    from denoisert.runtime.measure.trace import Trace
    from denoisert.runtime.plan import Plan
    from denoisert.runtime.request import Condition, Limits, Request, Start
    from denoisert.runtime.result import Result
    from denoisert.runtime.runtime import Runtime
    from denoisert.runtime.sampling.compat import Compat
    from denoisert.runtime.sampling.guidance import CFG, Unguided
    from denoisert.runtime.sampling.operations import Clip, DynamicThreshold
    from denoisert.runtime.sampling.schedules import (
        AlignYourSteps,
        Begin,
        BetaQuantile,
        DropLast,
        Exponential,
        Final,
        Growth,
        Karras,
        Leading,
        Levels,
        Linspace,
        Measure,
        Polyexponential,
        Published,
        ResolutionShifted,
        Respaced,
        Rounded,
        SGMUniform,
        Shifted,
        Stretched,
        Strided,
        Timesteps,
        Trailing,
        Truncated,
    )
    from denoisert.runtime.sampling.solvers import (
        BDIA,
        DDIM,
        DDPM,
        DEIS,
        DPM2,
        EDICT,
        ERSDE,
        IPNDM,
        LCM,
        LMS,
        PLMS,
        PNDM,
        RES,
        TCD,
        Bounded,
        ConsistencyMultistep,
        Corrector,
        Diffusion,
        DPM2Ancestral,
        DPMFast,
        DPMpp2M,
        DPMpp2MSDE,
        DPMpp2S,
        DPMpp2SAncestral,
        DPMpp3M,
        DPMpp3MSDE,
        DPMpp3S,
        DPMppBlocks,
        DPMppBlocksSDE,
        DPMppSDE,
        DPMSolver2,
        DPMSolver2M,
        DPMSolver3,
        DPMSolver3M,
        DPMSolverBlocks,
        EDMEuler,
        EDMHeun,
        Ending,
        Estimate,
        Euler,
        EulerAncestral,
        FlowEuler,
        FlowHeun,
        FlowMap,
        FlowRungeKutta,
        Form,
        Heun,
        InterpolantSDE,
        Inverse,
        Nodes,
        NoiseCorrected,
        NoiseEncoder,
        NoiseReplay,
        NoiseScale,
        Quadrature,
        ResidualBridge,
        RESMultistep,
        Restart,
        RungeKutta,
        SASolver,
        Scheme,
        SDEDPMSolver1,
        SDEDPMSolver2M,
        Shortcut,
        Slope,
        StepTold,
        Told,
        TwoForwardOneBack,
        TwoSidedInterpolant,
        UniPC,
        Variance,
    )
    from denoisert.runtime.ticket import Ticket

# Names by home, apart by spaces.
_HOMES = {
    "engines.target": "OnnxRuntime Torch",
    "errors": "DenoiseRTError",
    "events": "Admitted Ended Preview Stepped",
    "measure.trace": "Trace",
    "plan": "Plan",
    "request": "Condition Limits Request Start",
    "result": "Result",
    "runtime": "Runtime",
    "sampling.guidance": "CFG Unguided",
    "sampling.schedules": (
        "AlignYourSteps Begin BetaQuantile DropLast Exponential Final Growth Karras Leading "
        "Levels Linspace Measure Polyexponential Published ResolutionShifted Respaced Rounded "
        "SGMUniform Shifted Stretched Strided Timesteps Trailing Truncated"
    ),
    "sampling.compat": "Compat",
    "sampling.operations": "Clip DynamicThreshold",
    "sampling.solvers": (
        "BDIA Bounded ConsistencyMultistep Corrector DDIM DDPM DEIS DPM2 DPM2Ancestral "
        "DPMFast DPMSolver2 DPMSolver2M DPMSolver3 DPMSolver3M DPMSolverBlocks DPMpp2M "
        "DPMpp2MSDE DPMpp2S DPMpp2SAncestral DPMpp3M DPMpp3MSDE DPMpp3S DPMppBlocks "
        "DPMppBlocksSDE DPMppSDE Diffusion EDICT EDMEuler EDMHeun ERSDE Ending Estimate Euler "
        "EulerAncestral FlowEuler FlowHeun FlowMap FlowRungeKutta Form Heun IPNDM "
        "InterpolantSDE Inverse LCM LMS Nodes NoiseCorrected NoiseEncoder NoiseReplay "
        "NoiseScale PLMS PNDM Quadrature RES RESMultistep ResidualBridge Restart RungeKutta "
        "SASolver SDEDPMSolver1 SDEDPMSolver2M Scheme Shortcut Slope StepTold TCD Told "
        "TwoForwardOneBack TwoSidedInterpolant UniPC Variance"
    ),
    "ticket": "Ticket",
}

__all__ = [
    "BDIA",
    "CFG",
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
    "Admitted",
    "AlignYourSteps",
    "Begin",
    "BetaQuantile",
    "Bounded",
    "Clip",
    "Compat",
    "Condition",
    "ConsistencyMultistep",
    "Corrector",
    "DPM2Ancestral",
    "DPMFast",
    "DPMSolver2",
    "DPMSolver2M",
    "DPMSolver3",
    "DPMSolver3M",
    "DPMSolverBlocks",
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
    "DenoiseRTError",
    "Diffusion",
    "DropLast",
    "DynamicThreshold",
    "EDMEuler",
    "EDMHeun",
    "Ended",
    "Ending",
    "Estimate",
    "Euler",
    "EulerAncestral",
    "Exponential",
    "Final",
    "FlowEuler",
    "FlowHeun",
    "FlowMap",
    "FlowRungeKutta",
    "Form",
    "Growth",
    "Heun",
    "InterpolantSDE",
    "Inverse",
    "Karras",
    "Leading",
    "Levels",
    "Limits",
    "Linspace",
    "Measure",
    "Nodes",
    "NoiseCorrected",
    "NoiseEncoder",
    "NoiseReplay",
    "NoiseScale",
    "OnnxRuntime",
    "Plan",
    "Polyexponential",
    "Preview",
    "Published",
    "Quadrature",
    "RESMultistep",
    "Request",
    "ResidualBridge",
    "ResolutionShifted",
    "Respaced",
    "Restart",
    "Result",
    "Rounded",
    "RungeKutta",
    "Runtime",
    "SASolver",
    "SDEDPMSolver1",
    "SDEDPMSolver2M",
    "SGMUniform",
    "Scheme",
    "Shifted",
    "Shortcut",
    "Slope",
    "Start",
    "StepTold",
    "Stepped",
    "Stretched",
    "Strided",
    "Ticket",
    "Timesteps",
    "Told",
    "Torch",
    "Trace",
    "Trailing",
    "Truncated",
    "TwoForwardOneBack",
    "TwoSidedInterpolant",
    "Unguided",
    "UniPC",
    "Variance",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names.split():
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"denoisert.runtime has no {name!r}; it has {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return __all__
