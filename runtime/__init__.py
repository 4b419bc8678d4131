"""DenoiseRT's runtime: open a bundle, generate, measure. Names resolve on first use."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from denoisert.runtime.engines.target import (
        OnnxRuntime,
        OpenVino,
        TensorRt,
        TensorRtRtx,
        Torch,
    )
    from denoisert.runtime.errors import DenoiseRTError
    from denoisert.runtime.events import Admitted, Ended, Preview, Stepped
    from denoisert.runtime.measure.trace import Trace
    from denoisert.runtime.phase import Phase
    from denoisert.runtime.plan import Plan
    from denoisert.runtime.programs.refine import Refined, refine
    from denoisert.runtime.request import Condition, Limits, Noised, Request, Start
    from denoisert.runtime.result import Result
    from denoisert.runtime.runtime import Runtime
    from denoisert.runtime.sampling.compat import Compat
    from denoisert.runtime.sampling.guidance import CFG, Unguided
    from denoisert.runtime.sampling.operations import Clip, DynamicThreshold
    from denoisert.runtime.sampling.schedules import *
    from denoisert.runtime.sampling.solvers import *
    from denoisert.runtime.ticket import Ticket

_HOMES = {
    "engines.target": ("OnnxRuntime", "OpenVino", "TensorRt", "TensorRtRtx", "Torch"),
    "errors": ("DenoiseRTError",),
    "events": ("Admitted", "Ended", "Preview", "Stepped"),
    "measure.trace": ("Trace",),
    "phase": ("Phase",),
    "plan": ("Plan",),
    "programs.refine": ("Refined", "refine"),
    "request": ("Condition", "Limits", "Noised", "Request", "Start"),
    "result": ("Result",),
    "runtime": ("Runtime",),
    "sampling.compat": ("Compat",),
    "sampling.guidance": ("CFG", "EmbeddedGuidance", "Unguided"),
    "sampling.operations": ("Clip", "DynamicThreshold"),
    "ticket": ("Ticket",),
}
# Rooms all of whose public names are public here, too; about a hundred, so each says its own.
_ROOMS = ("sampling.solvers", "sampling.schedules")


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(_module(home), name)
    if name == "__all__":
        return __dir__()
    if not name.startswith("_"):
        for room in map(_module, _ROOMS):
            if name in room.__all__:
                return getattr(room, name)
    raise AttributeError(f"denoisert.runtime has no {name!r}; it has {', '.join(__dir__())}.")


def __dir__() -> list[str]:
    rooms = [name for room in _ROOMS for name in _module(room).__all__]
    return sorted([*(name for names in _HOMES.values() for name in names), *rooms])


def _module(home: str) -> ModuleType:
    return import_module(f"{__name__}.{home}")
