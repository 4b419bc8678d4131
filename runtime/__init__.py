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
        DDIM,
        LCM,
        TCD,
        Bounded,
        ConsistencyMultistep,
        Diffusion,
        DPMpp2M,
        Euler,
        EulerAncestral,
        FlowEuler,
        FlowHeun,
        FlowMap,
        Heun,
        InterpolantSDE,
        NoiseCorrected,
        ResidualBridge,
        Shortcut,
        StepTold,
        TwoForwardOneBack,
        TwoSidedInterpolant,
    )
    from denoisert.runtime.ticket import Ticket

_HOMES = {
    "engines.target": ("OnnxRuntime", "Torch"),
    "errors": ("DenoiseRTError",),
    "events": ("Admitted", "Ended", "Preview", "Stepped"),
    "measure.trace": ("Trace",),
    "plan": ("Plan",),
    "request": ("Condition", "Limits", "Request", "Start"),
    "result": ("Result",),
    "runtime": ("Runtime",),
    "sampling.guidance": ("CFG", "Unguided"),
    "sampling.schedules": (
        "AlignYourSteps",
        "Begin",
        "BetaQuantile",
        "DropLast",
        "Exponential",
        "Final",
        "Growth",
        "Karras",
        "Leading",
        "Levels",
        "Linspace",
        "Measure",
        "Polyexponential",
        "Published",
        "ResolutionShifted",
        "Respaced",
        "Rounded",
        "SGMUniform",
        "Shifted",
        "Stretched",
        "Strided",
        "Timesteps",
        "Trailing",
        "Truncated",
    ),
    "sampling.compat": ("Compat",),
    "sampling.operations": ("Clip", "DynamicThreshold"),
    "sampling.solvers": (
        "Bounded",
        "ConsistencyMultistep",
        "DDIM",
        "DPMpp2M",
        "Diffusion",
        "Euler",
        "EulerAncestral",
        "FlowEuler",
        "FlowHeun",
        "FlowMap",
        "Heun",
        "InterpolantSDE",
        "LCM",
        "NoiseCorrected",
        "ResidualBridge",
        "Shortcut",
        "StepTold",
        "TCD",
        "TwoForwardOneBack",
        "TwoSidedInterpolant",
    ),
    "ticket": ("Ticket",),
}

__all__ = [
    "CFG",
    "DDIM",
    "LCM",
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
    "DPMpp2M",
    "DenoiseRTError",
    "Diffusion",
    "DropLast",
    "DynamicThreshold",
    "Ended",
    "Euler",
    "EulerAncestral",
    "Exponential",
    "Final",
    "FlowEuler",
    "FlowHeun",
    "FlowMap",
    "Growth",
    "Heun",
    "InterpolantSDE",
    "Karras",
    "Leading",
    "Levels",
    "Limits",
    "Linspace",
    "Measure",
    "NoiseCorrected",
    "OnnxRuntime",
    "Plan",
    "Polyexponential",
    "Preview",
    "Published",
    "Request",
    "ResidualBridge",
    "ResolutionShifted",
    "Respaced",
    "Result",
    "Rounded",
    "Runtime",
    "SGMUniform",
    "Shifted",
    "Shortcut",
    "Start",
    "StepTold",
    "Stepped",
    "Stretched",
    "Strided",
    "Ticket",
    "Timesteps",
    "Torch",
    "Trace",
    "Trailing",
    "Truncated",
    "TwoForwardOneBack",
    "TwoSidedInterpolant",
    "Unguided",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"denoisert.runtime has no {name!r}; it has {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return __all__
