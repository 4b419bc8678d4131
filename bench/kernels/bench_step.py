"""One guided Euler step: a fused row against eager torch and diffusers' own scheduler."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from bench.case import Case, Run, Size
from bench.kernels.case import kernel_cases
from bench.optional import where
from bench.run import run
from denoisert.kernels.step import cpu, reference
from denoisert.kernels.step.form import Form
from denoisert.kernels.step.row import Operation, Row, pack

FORM = Form(registers=1, branches=2)
GUIDANCE = 2.0
STEP = -0.04
NONE = (Operation.NONE, 0.0, 0.0)


def euler_row() -> Row:
    """x + h (uncond + g (cond - uncond)) as one row over (x, cond, uncond)."""
    matrix = np.zeros((FORM.rows, FORM.columns), np.float32)
    matrix[FORM.register_row(0), :3] = 1.0, STEP * GUIDANCE, STEP * (1.0 - GUIDANCE)
    return pack(matrix, FORM, operations=(NONE, NONE), registers=(0,), targets=(0,))


def _eager(x: torch.Tensor, cond: torch.Tensor, uncond: torch.Tensor) -> torch.Tensor:
    return x + STEP * (uncond + GUIDANCE * (cond - uncond))


def _diffusers(x: torch.Tensor, cond: torch.Tensor, uncond: torch.Tensor) -> Mapping[str, Run]:
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=[1.0 + STEP * step for step in range(25)])
    time = scheduler.timesteps[0]

    def step() -> object:
        scheduler._step_index = 0  # the same step again; its counter has no public reset
        return scheduler.step(uncond + GUIDANCE * (cond - uncond), time, x).prev_sample

    return {"diffusers": step}


def providers(elements: int) -> Mapping[str, Run]:
    """The same step of the same numbers by each."""
    columns = np.random.default_rng(7).standard_normal((FORM.columns, elements), np.float32)
    row, space = euler_row(), cpu.workspace(FORM, elements)
    x, cond, uncond = torch.from_numpy(columns[:3].copy())
    return {
        "denoisert": lambda: cpu.step(columns, row, workspace=space),
        "reference": lambda: reference.step(columns, row),
        "torch": lambda: _eager(x, cond, uncond),
        **where("diffusers", lambda: _diffusers(x, cond, uncond)),
    }


def cases(size: Size) -> list[Case]:
    """Digits and a 4x64x64 latent; three arrays are read and one written."""
    return kernel_cases("step euler cfg", size, providers, lambda n: 4 * 4 * n)


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()
