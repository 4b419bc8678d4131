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
    DDPM,
    DEIS,
    DPM2,
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
    DPM2Ancestral,
    DPMpp2M,
    EDMEuler,
    EDMHeun,
    Euler,
    EulerAncestral,
    FlowEuler,
    FlowHeun,
    FlowMap,
    FlowRungeKutta,
    Heun,
    InterpolantSDE,
    NoiseCorrected,
    ResidualBridge,
    RESMultistep,
    Restart,
    RungeKutta,
    SASolver,
    Shortcut,
    Solver,
    TwoForwardOneBack,
    TwoSidedInterpolant,
    UniPC,
)

SOLVERS: Mapping[str, type[Solver]] = MappingProxyType(
    {
        "bounded": Bounded,
        "consistency": ConsistencyMultistep,
        "ddim": DDIM,
        "ddpm": DDPM,
        "deis": DEIS,
        "dpm_2": DPM2,
        "dpm_2_ancestral": DPM2Ancestral,
        "dpmpp_2m": DPMpp2M,
        "edm_euler": EDMEuler,
        "edm_heun": EDMHeun,
        "er_sde": ERSDE,
        "euler": Euler,
        "euler_ancestral": EulerAncestral,
        "flow_euler": FlowEuler,
        "flow_heun": FlowHeun,
        "flow_map": FlowMap,
        "flow_runge_kutta": FlowRungeKutta,
        "heun": Heun,
        "interpolant_sde": InterpolantSDE,
        "ipndm": IPNDM,
        "lcm": LCM,
        "lms": LMS,
        "noise_corrected": NoiseCorrected,
        "plms": PLMS,
        "pndm": PNDM,
        "res": RES,
        "res_multistep": RESMultistep,
        "residual_bridge": ResidualBridge,
        "restart": Restart,
        "runge_kutta": RungeKutta,
        "sa_solver": SASolver,
        "shortcut": Shortcut,
        "tcd": TCD,
        "two_forward_one_back": TwoForwardOneBack,
        "two_sided_interpolant": TwoSidedInterpolant,
        "unipc": UniPC,
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
