"""Products and sums of two vectors, in float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from bench.case import Case, Run, Size
from bench.kernels.case import kernel_cases
from bench.run import run
from denoisert.kernels.gram import cpu, reference

VECTORS = 2


def _eager(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    wide = vectors.double()
    return wide @ wide.T, wide.sum(1)


def providers(elements: int) -> Mapping[str, Run]:
    """Cond and uncond of one slot."""
    vectors = np.random.default_rng(7).standard_normal((VECTORS, elements), np.float32)
    out = np.empty((1, VECTORS, VECTORS)), np.empty((1, VECTORS))
    space, tensor = cpu.workspace(VECTORS), torch.from_numpy(vectors)
    return {
        "denoisert": lambda: cpu.gram(vectors, out=out, workspace=space),
        "reference": lambda: reference.gram(vectors),
        "torch": lambda: _eager(tensor),
    }


def cases(size: Size) -> list[Case]:
    """Digits and a 4x64x64 latent; two float32 vectors are read."""
    return kernel_cases("gram 2 vectors", size, providers, lambda n: 4 * VECTORS * n)


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()
