"""Noise schedules (what the network was trained on) and spacings (where a run visits them)."""

from denoisert.runtime.sampling.schedules.even import Leading, Linspace, Trailing
from denoisert.runtime.sampling.schedules.flow import Flow
from denoisert.runtime.sampling.schedules.karras import Karras
from denoisert.runtime.sampling.schedules.schedule import NoiseSchedule
from denoisert.runtime.sampling.schedules.spacing import Final, Spacing
from denoisert.runtime.sampling.schedules.variance_preserving import Cosine, Linear, ScaledLinear

__all__ = [
    "Cosine",
    "Final",
    "Flow",
    "Karras",
    "Leading",
    "Linear",
    "Linspace",
    "NoiseSchedule",
    "ScaledLinear",
    "Spacing",
    "Trailing",
]
