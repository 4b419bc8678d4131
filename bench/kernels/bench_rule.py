"""Guidance with rescale: gram, rule and combination against the paper's formula."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from bench.case import Case, Run, Size
from bench.kernels.case import kernel_cases
from bench.optional import where
from bench.run import run
from denoisert.kernels import gram, step
from denoisert.kernels.rule import VECTORS, cpu, reference

SCALE, PHI = 4.0, 0.7


def _ours(vectors: np.ndarray) -> Run:
    count, elements = vectors.shape
    products, sums = np.empty((1, count, count)), np.empty((1, count))
    space, carried = gram.cpu.workspace(count), np.zeros((1, 4))
    weights, out = np.empty((1, count)), np.empty(elements, np.float32)
    args = (SCALE, PHI)

    def guided() -> np.ndarray:
        gram.cpu.gram(vectors, out=(products, sums), workspace=space)
        cpu.apply(cpu.CFG_RESCALE, products, sums, elements, args, carried=carried, out=weights)
        return step.cpu.guide(vectors, weights, out=out)

    return guided


def _diffusers(cond: torch.Tensor, uncond: torch.Tensor) -> Mapping[str, Run]:
    from diffusers.guiders.guider_utils import rescale_noise_cfg

    return {
        "diffusers": lambda: rescale_noise_cfg(uncond + SCALE * (cond - uncond), cond, PHI),
    }


def providers(elements: int) -> Mapping[str, Run]:
    """The same guided latent by each."""
    shape = (VECTORS[cpu.CFG_RESCALE], elements)
    vectors = np.random.default_rng(7).standard_normal(shape, np.float32)
    cond, uncond = torch.from_numpy(vectors[:, None])
    return {
        "denoisert": _ours(vectors),
        "reference": lambda: reference.cfg_rescale(vectors[0], vectors[1], SCALE, PHI),
        **where("diffusers", lambda: _diffusers(cond, uncond)),
    }


def cases(size: Size) -> list[Case]:
    """Digits and a 4x64x64 latent; two vectors are read twice and one is written."""
    return kernel_cases("rule cfg rescale", size, providers, lambda n: 4 * 5 * n)


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()
