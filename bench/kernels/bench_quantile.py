"""The threshold of dynamic thresholding: a partition against a sort and torch.quantile."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from bench.case import Case, Run, Size
from bench.kernels.case import kernel_cases
from bench.run import run
from denoisert.kernels.quantile import cpu, reference

Q = 0.995


def providers(elements: int) -> Mapping[str, Run]:
    """The same quantile of the same numbers by each."""
    values = np.random.default_rng(7).standard_normal(elements, np.float32)
    space, tensor = cpu.workspace(elements), torch.from_numpy(values)
    return {
        "denoisert": lambda: cpu.quantile(values, Q, workspace=space),
        "reference": lambda: reference.quantile(values, Q),
        "torch": lambda: torch.quantile(tensor.abs(), Q),
    }


def cases(size: Size) -> list[Case]:
    """Digits and a 4x64x64 latent; every element is read once."""
    return kernel_cases("quantile 0.995", size, providers, lambda n: 4 * n)


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()
