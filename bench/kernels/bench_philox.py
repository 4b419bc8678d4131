"""Normals of one latent: ours against the specification and the generators of torch and NumPy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from bench.case import Case, Run, Size
from bench.kernels.case import kernel_cases
from bench.run import run
from denoisert.kernels.philox import cpu, reference


def providers(elements: int) -> Mapping[str, Run]:
    """The same number of normals from each generator; only the first two agree on their values."""
    out, space = np.empty(elements, np.float32), cpu.workspace(elements)
    generator, target = np.random.default_rng(7), torch.empty(elements)
    return {
        "denoisert": lambda: cpu.normals(7, draw=1, count=elements, out=out, workspace=space),
        "reference": lambda: reference.normals(7, draw=1, count=elements),
        "torch": lambda: target.normal_(),
        "numpy": lambda: generator.standard_normal(out=out, dtype=np.float32),
    }


def cases(size: Size) -> list[Case]:
    """Digits and a 4x64x64 latent; every element is written once."""
    return kernel_cases("philox normals", size, providers, lambda n: 4 * n)


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()
