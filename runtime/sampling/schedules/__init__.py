"""Noise schedules (what the network was trained on) and spacings (where a run visits them)."""

from denoisert.runtime.sampling.schedules.aligned import AlignYourSteps, Published
from denoisert.runtime.sampling.schedules.beta_quantile import BetaQuantile
from denoisert.runtime.sampling.schedules.derived import (
    Begin,
    BetweenEnds,
    DropLast,
    Rounded,
    Rounding,
    Truncated,
)
from denoisert.runtime.sampling.schedules.even import Even, Leading, Linspace, Reach, Trailing
from denoisert.runtime.sampling.schedules.exponential import Exponential, Polyexponential
from denoisert.runtime.sampling.schedules.flow import Flow
from denoisert.runtime.sampling.schedules.karras import Karras
from denoisert.runtime.sampling.schedules.pinned import Levels, Timesteps
from denoisert.runtime.sampling.schedules.residual_bridge import ResidualBridgePath
from denoisert.runtime.sampling.schedules.respaced import Distilled, Respaced, Strided
from denoisert.runtime.sampling.schedules.schedule import NoiseSchedule
from denoisert.runtime.sampling.schedules.sgm import SGMUniform
from denoisert.runtime.sampling.schedules.shared_times import SharedTimes
from denoisert.runtime.sampling.schedules.shift import (
    Growth,
    ResolutionShifted,
    Shifted,
    Stretched,
)
from denoisert.runtime.sampling.schedules.sigmoid import Sigmoid, SigmoidSignal
from denoisert.runtime.sampling.schedules.spacing import Final, Measure, Spacing
from denoisert.runtime.sampling.schedules.split import After, Before
from denoisert.runtime.sampling.schedules.terminal import ZeroTerminalSNR
from denoisert.runtime.sampling.schedules.thinned import Thinned
from denoisert.runtime.sampling.schedules.trigonometric import Trigonometric
from denoisert.runtime.sampling.schedules.variance_exploding import EDM, VE, Label
from denoisert.runtime.sampling.schedules.variance_preserving import Cosine, Linear, ScaledLinear

__all__ = [
    "EDM",
    "VE",
    "After",
    "AlignYourSteps",
    "Before",
    "Begin",
    "BetaQuantile",
    "BetweenEnds",
    "Cosine",
    "Distilled",
    "DropLast",
    "Even",
    "Exponential",
    "Final",
    "Flow",
    "Growth",
    "Karras",
    "Label",
    "Leading",
    "Levels",
    "Linear",
    "Linspace",
    "Measure",
    "NoiseSchedule",
    "Polyexponential",
    "Published",
    "Reach",
    "ResidualBridgePath",
    "ResolutionShifted",
    "Respaced",
    "Rounded",
    "Rounding",
    "SGMUniform",
    "ScaledLinear",
    "SharedTimes",
    "Shifted",
    "Sigmoid",
    "SigmoidSignal",
    "Spacing",
    "Stretched",
    "Strided",
    "Thinned",
    "Timesteps",
    "Trailing",
    "Trigonometric",
    "Truncated",
    "ZeroTerminalSNR",
]
