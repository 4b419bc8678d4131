"""Eight slots gathered into sixteen scaled lanes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from bench.case import Case, Run, Size
from bench.kernels.case import kernel_cases
from bench.run import run
from denoisert.kernels.lanes import cpu, reference

SLOTS = 8
LANES = 2 * SLOTS


def providers(elements: int) -> Mapping[str, Run]:
    """Every slot into its two branches."""
    generator = np.random.default_rng(7)
    source = generator.standard_normal((SLOTS, elements), np.float32)
    scale = generator.random(LANES, np.float32)
    index = np.repeat(np.arange(SLOTS), 2)
    out = np.empty((LANES, elements), np.float32)
    rows, picks, factors = map(torch.from_numpy, (source, index, scale[:, None]))
    return {
        "denoisert": lambda: cpu.gather(source, index, scale, out=out),
        "reference": lambda: reference.gather(source, index, scale),
        "torch": lambda: rows.index_select(0, picks) * factors,
    }


def cases(size: Size) -> list[Case]:
    """Digits and 4x64x64 latents; every lane is read and written once."""
    return kernel_cases("lanes 16 scaled", size, providers, lambda n: 4 * 2 * LANES * n)


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()
