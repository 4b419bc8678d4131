"""The one explicit table name <-> class; nowhere else does a string become an object."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from denoisert.runtime.sampling.guidance import CFG, Guidance, Unguided
from denoisert.runtime.sampling.operations import Clip, DynamicThreshold, EstimateOperation
from denoisert.runtime.sampling.schedules import (
    EDM,
    VE,
    AlignYourSteps,
    BetaQuantile,
    Cosine,
    DropLast,
    Exponential,
    Flow,
    Karras,
    Leading,
    Levels,
    Linear,
    Linspace,
    NoiseSchedule,
    Polyexponential,
    ResidualBridgePath,
    ResolutionShifted,
    Respaced,
    Rounded,
    ScaledLinear,
    SGMUniform,
    SharedTimes,
    Shifted,
    Sigmoid,
    SigmoidSignal,
    Spacing,
    Stretched,
    Strided,
    Timesteps,
    Trailing,
    Trigonometric,
    Truncated,
    ZeroTerminalSNR,
)
from denoisert.runtime.sampling.solvers import (
    DDIM,
    LCM,
    TCD,
    Bounded,
    ConsistencyMultistep,
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
    Solver,
    TwoForwardOneBack,
    TwoSidedInterpolant,
)

SOLVERS: Mapping[str, type[Solver]] = MappingProxyType(
    {
        "bounded": Bounded,
        "consistency": ConsistencyMultistep,
        "ddim": DDIM,
        "dpmpp_2m": DPMpp2M,
        "euler": Euler,
        "euler_ancestral": EulerAncestral,
        "flow_euler": FlowEuler,
        "flow_heun": FlowHeun,
        "flow_map": FlowMap,
        "heun": Heun,
        "interpolant_sde": InterpolantSDE,
        "lcm": LCM,
        "noise_corrected": NoiseCorrected,
        "residual_bridge": ResidualBridge,
        "shortcut": Shortcut,
        "tcd": TCD,
        "two_forward_one_back": TwoForwardOneBack,
        "two_sided_interpolant": TwoSidedInterpolant,
    }
)
SCHEDULES: Mapping[str, type[NoiseSchedule]] = MappingProxyType(
    {
        "cosine": Cosine,
        "edm": EDM,
        "flow": Flow,
        "linear": Linear,
        "residual_bridge_path": ResidualBridgePath,
        "scaled_linear": ScaledLinear,
        "shared_times": SharedTimes,
        "sigmoid": Sigmoid,
        "sigmoid_signal": SigmoidSignal,
        "trigonometric": Trigonometric,
        "ve": VE,
        "zero_terminal_snr": ZeroTerminalSNR,
    }
)
SPACINGS: Mapping[str, type[Spacing]] = MappingProxyType(
    {
        "align_your_steps": AlignYourSteps,
        "beta": BetaQuantile,
        "drop_last": DropLast,
        "exponential": Exponential,
        "karras": Karras,
        "leading": Leading,
        "levels": Levels,
        "linspace": Linspace,
        "polyexponential": Polyexponential,
        "resolution_shifted": ResolutionShifted,
        "respaced": Respaced,
        "rounded": Rounded,
        "sgm_uniform": SGMUniform,
        "shifted": Shifted,
        "stretched": Stretched,
        "strided": Strided,
        "timesteps": Timesteps,
        "trailing": Trailing,
        "truncated": Truncated,
    }
)
GUIDANCE: Mapping[str, type[Guidance]] = MappingProxyType({"cfg": CFG, "unguided": Unguided})
OPERATIONS: Mapping[str, type[EstimateOperation]] = MappingProxyType(
    {"clip": Clip, "dynamic_threshold": DynamicThreshold}
)
EVERYTHING: Mapping[str, type[object]] = MappingProxyType(
    {**SOLVERS, **SCHEDULES, **SPACINGS, **GUIDANCE, **OPERATIONS}
)
# What a field may hold that is itself a named object, and the names allowed there.
FIELDS: Mapping[object, Mapping[str, type[object]]] = MappingProxyType(
    {
        Solver: SOLVERS,
        NoiseSchedule: SCHEDULES,
        Spacing: SPACINGS,
        Guidance: GUIDANCE,
        EstimateOperation: OPERATIONS,
    }
)
