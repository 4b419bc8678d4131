"""One DDIM step on a bounded estimate: a row with an operation against eager torch.

The quantile of a dynamic threshold is a pass of its own (`bench_quantile`); here it is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch

from bench.case import Case, Run, Size
from bench.kernels.case import kernel_cases
from bench.run import run
from denoisert.kernels.step import cpu, reference
from denoisert.kernels.step.form import Form
from denoisert.kernels.step.row import Operation, Row, pack

FORM = Form(registers=1, branches=1)
NONE = (Operation.NONE, 0.0, 0.0)
ESTIMATE = (1.2, -0.8)  # D = 1.2 x - 0.8 F
STEP = (0.7, 0.4)  # x' = 0.7 D' + 0.4 F
THRESHOLD = 1.7
OPERATIONS = {
    "clip": (Operation.CLIP, -1.0, 1.0),
    "dynamic threshold": (Operation.DYNAMIC_THRESHOLD, 0.995, 2.0),
    "reflect": (Operation.REFLECT, 0.0, 1.0),
    "exp half": (Operation.EXP_HALF, 0.0, 0.0),
}


def bounded_row(operation: tuple[Operation, float, float]) -> Row:
    """x' = 0.7 op(D) + 0.4 F as one row over (x, F)."""
    matrix = np.zeros((FORM.rows, FORM.columns), np.float32)
    matrix[FORM.argument_row(0), :2] = ESTIMATE
    matrix[FORM.register_row(0), [FORM.estimate(0), 1]] = STEP
    return pack(matrix, FORM, operations=(operation, NONE), registers=(0,), targets=(0,))


def _bounded(name: str, clean: torch.Tensor) -> torch.Tensor:
    if name == "clip":
        return clean.clamp(-1.0, 1.0)
    if name == "dynamic threshold":
        return clean.clamp(-THRESHOLD, THRESHOLD) / THRESHOLD
    if name == "reflect":
        return 1.0 - (clean.remainder(2.0) - 1.0).abs()
    return torch.exp(clean / 2.0)


def _eager(name: str, x: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    clean = ESTIMATE[0] * x + ESTIMATE[1] * output
    return STEP[0] * _bounded(name, clean) + STEP[1] * output


def providers(elements: int, name: str) -> Mapping[str, Run]:
    """The same step of the same numbers by each."""
    columns = np.random.default_rng(7).standard_normal((FORM.columns, elements), np.float32)
    row, space = bounded_row(OPERATIONS[name]), cpu.workspace(FORM, elements)
    limits = (THRESHOLD, 0.0)
    x, output = torch.from_numpy(columns[:2].copy())
    return {
        "denoisert": lambda: cpu.step(columns, row, thresholds=limits, workspace=space),
        "reference": lambda: reference.step(columns, row, thresholds=limits),
        "torch": lambda: _eager(name, x, output),
    }


def cases(size: Size) -> list[Case]:
    """Every operation on digits and a 4x64x64 latent; two arrays are read and one written."""
    return [
        case
        for name in OPERATIONS
        for case in kernel_cases(
            f"operation {name}", size, partial(providers, name=name), lambda n: 4 * 3 * n
        )
    ]


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()
