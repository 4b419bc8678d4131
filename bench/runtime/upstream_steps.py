"""Our solvers and the diffusers schedulers that compute the same, for loops without a network."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from importlib import import_module
from typing import Any, NamedTuple

import torch

from bench.case import Run
from denoisert.runtime import (
    DDIM,
    DDPM,
    DEIS,
    DPM2,
    IPNDM,
    LCM,
    LMS,
    PLMS,
    DPM2Ancestral,
    DPMpp2M,
    DPMpp2MSDE,
    DPMpp3M,
    DPMppBlocks,
    Euler,
    EulerAncestral,
    Heun,
    SASolver,
    UniPC,
)
from denoisert.runtime.sampling.solvers import Solver

BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


class Pair(NamedTuple):
    """A solver and its scheduler.

    Args:
        solver: ours.
        scheduler: class name in diffusers.
        config: beyond the betas.
        draws: whether a step draws noise.
        most: our aim, as a share of its time.
    """

    solver: Solver
    scheduler: str
    config: Mapping[str, Any] = {}
    draws: bool = False
    most: float = 0.5


PAIRS = (
    Pair(DDIM(), "DDIMScheduler", {"clip_sample": False}),
    Pair(DDPM(), "DDPMScheduler", {"clip_sample": False}, draws=True, most=1.5),
    Pair(Euler(), "EulerDiscreteScheduler"),
    Pair(EulerAncestral(), "EulerAncestralDiscreteScheduler", draws=True, most=1.5),
    Pair(Heun(), "HeunDiscreteScheduler"),
    Pair(DPM2(), "KDPM2DiscreteScheduler"),
    Pair(DPM2Ancestral(), "KDPM2AncestralDiscreteScheduler", draws=True, most=1.5),
    Pair(LMS(), "LMSDiscreteScheduler", most=0.2),
    Pair(PLMS(), "PNDMScheduler", {"skip_prk_steps": True}, most=0.2),
    Pair(IPNDM(), "IPNDMScheduler", most=0.2),
    Pair(DEIS(), "DEISMultistepScheduler", most=0.2),
    Pair(DPMpp2M(), "DPMSolverMultistepScheduler", most=0.2),
    Pair(DPMpp3M(), "DPMSolverMultistepScheduler", {"solver_order": 3}, most=0.2),
    Pair(
        DPMpp2MSDE(),
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++"},
        draws=True,
        most=1.5,
    ),
    Pair(DPMppBlocks(), "DPMSolverSinglestepScheduler"),
    Pair(UniPC(), "UniPCMultistepScheduler", most=0.2),
    Pair(SASolver(), "SASolverScheduler", draws=True, most=1.5),
    Pair(LCM(), "LCMScheduler", draws=True, most=1.5),
)


def loop(pair: Pair, steps: int, scale: float, runs: int) -> Run:
    """A run of scheduler steps with CFG on random predictions; each call takes a fresh scheduler.

    Args:
        pair: names the scheduler.
        steps: of its timesteps, set beforehand.
        scale: of guidance.
        runs: how many calls there will be at most.
    """
    kind = getattr(import_module("diffusers"), pair.scheduler)
    takes = kind.__init__.__wrapped__.__code__.co_varnames
    betas = BETAS if "beta_start" in takes else {}
    scheduler = kind(**betas, **pair.config)
    scheduler.set_timesteps(steps)
    fresh = iter([deepcopy(scheduler) for _ in range(runs)])
    uncond, cond, start = torch.randn(3, 1, 4, 64, 64)

    @torch.inference_mode()
    def run() -> torch.Tensor:
        ready, x = next(fresh), start
        for time in ready.timesteps:
            ready.scale_model_input(x, time)
            x = ready.step(uncond + scale * (cond - uncond), time, x).prev_sample
        return x

    return run
