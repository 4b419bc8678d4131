"""The one explicit table name <-> class; nowhere else does a string become an object."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from denoisert.runtime.sampling.guidance import CFG, Guidance, Unguided
from denoisert.runtime.sampling.operations import Clip, DynamicThreshold, EstimateOperation
from denoisert.runtime.sampling.schedules import (
    Cosine,
    Flow,
    Karras,
    Leading,
    Linear,
    Linspace,
    NoiseSchedule,
    ScaledLinear,
    Spacing,
    Trailing,
)
from denoisert.runtime.sampling.solvers import (
    DDIM,
    Bounded,
    DPMpp2M,
    Euler,
    EulerAncestral,
    FlowEuler,
    FlowHeun,
    Heun,
    Solver,
)

SOLVERS: Mapping[str, type[Solver]] = MappingProxyType(
    {
        "bounded": Bounded,
        "ddim": DDIM,
        "dpmpp_2m": DPMpp2M,
        "euler": Euler,
        "euler_ancestral": EulerAncestral,
        "flow_euler": FlowEuler,
        "flow_heun": FlowHeun,
        "heun": Heun,
    }
)
SCHEDULES: Mapping[str, type[NoiseSchedule]] = MappingProxyType(
    {"cosine": Cosine, "flow": Flow, "linear": Linear, "scaled_linear": ScaledLinear}
)
SPACINGS: Mapping[str, type[Spacing]] = MappingProxyType(
    {"karras": Karras, "leading": Leading, "linspace": Linspace, "trailing": Trailing}
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
