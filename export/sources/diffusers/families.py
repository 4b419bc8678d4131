"""Which schedulers of diffusers compute their times and states alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MULTISTEP: Final = "DPMSolverMultistepScheduler"
SINGLESTEP: Final = "DPMSolverSinglestepScheduler"
DEIS: Final = "DEISMultistepScheduler"
SA: Final = "SASolverScheduler"
UNIPC: Final = "UniPCMultistepScheduler"
FLOW: Final = "FlowMatchEulerDiscreteScheduler"
FLOW_HEUN: Final = "FlowMatchHeunDiscreteScheduler"
LMS: Final = "LMSDiscreteScheduler"
PNDM: Final = "PNDMScheduler"
DDIM: Final = "DDIMScheduler"
DDPM: Final = "DDPMScheduler"
LCM: Final = "LCMScheduler"
TCD: Final = "TCDScheduler"
KDPM2: Final = ("KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler")

SAME: Final[Mapping[str, str]] = {
    "DDIMParallelScheduler": DDIM,
    "DDPMParallelScheduler": DDPM,
}
"""Classes that compute one picture as another class does."""

SIGMA_STATES: Final = (
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    LMS,
    *KDPM2,
)
"""Their state is x / alpha."""

MULTISTEPS: Final = (DEIS, MULTISTEP, SA, UNIPC)
"""They divide linspace and leading into N + 1 parts and leave out time 0."""

REPEATING: Final = (DEIS, SA, UNIPC)
"""Where levels are given by a formula and noise is to stay, they end at the last level again."""

FLOWS: Final = (FLOW, FLOW_HEUN)
DISTILLED: Final = (LCM, TCD)

UNREAD: Final[Mapping[str, str]] = {
    "CMStochasticIterativeScheduler": "its network lies inside a boundary condition that no "
    "parametrisation has",
    "CosineDPMSolverMultistepScheduler": "its network takes the state inside EDM's scaling",
    "DPMSolverSDEScheduler": "its noise is torchsde's Brownian tree",
    "EDMDPMSolverMultistepScheduler": "its network takes the state inside EDM's scaling",
    "EDMEulerScheduler": "its network takes the state inside EDM's scaling",
    "IPNDMScheduler": "it divides by 1e-8 where its first time has no signal",
    "SCMScheduler": "it starts beyond pure noise, at the angle 1.5708",
}
"""Classes that are known and read by no table -> why."""


def canonical(class_name: str) -> str:
    """The class whose arithmetic a class has."""
    return SAME.get(class_name, class_name)
