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
    from denoisert.runtime.sampling.schedules import Karras, Leading, Linspace, Trailing
    from denoisert.runtime.sampling.solvers import (
        DDIM,
        Bounded,
        DPMpp2M,
        Euler,
        EulerAncestral,
        FlowEuler,
        FlowHeun,
        Heun,
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
    "sampling.schedules": ("Karras", "Leading", "Linspace", "Trailing"),
    "sampling.compat": ("Compat",),
    "sampling.operations": ("Clip", "DynamicThreshold"),
    "sampling.solvers": (
        "DDIM",
        "Bounded",
        "DPMpp2M",
        "Euler",
        "EulerAncestral",
        "FlowEuler",
        "FlowHeun",
        "Heun",
    ),
    "ticket": ("Ticket",),
}

__all__ = [
    "CFG",
    "DDIM",
    "Admitted",
    "Bounded",
    "Clip",
    "Compat",
    "Condition",
    "DPMpp2M",
    "DenoiseRTError",
    "DynamicThreshold",
    "Ended",
    "Euler",
    "EulerAncestral",
    "FlowEuler",
    "FlowHeun",
    "Heun",
    "Karras",
    "Leading",
    "Limits",
    "Linspace",
    "OnnxRuntime",
    "Plan",
    "Preview",
    "Request",
    "Result",
    "Runtime",
    "Start",
    "Stepped",
    "Ticket",
    "Torch",
    "Trace",
    "Trailing",
    "Unguided",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"denoisert.runtime has no {name!r}; it has {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return __all__
