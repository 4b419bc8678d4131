"""Rules with gram and combination against the papers' formulas."""

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
SNR = 0.16
STEP, BEFORE = (1.4, 0.3, 0.9, 0.55, 0.4, 0.6, 0.35, 10.0), (0.9, 0.25, 1.1, 2.0)
CHANNELS = 4


def _ours(vectors: np.ndarray, rule: int, args: tuple[float, ...], channels: int = 1) -> Run:
    count, elements = vectors.shape
    products, sums = np.empty((channels, count, count)), np.empty((channels, count))
    space, carried = gram.cpu.workspace(count), np.zeros((channels, 4))
    weights, out = np.empty((channels, count)), np.empty(elements, np.float32)
    size = elements // channels

    def guided() -> np.ndarray:
        carried[:] = BEFORE
        gram.cpu.gram(vectors, channels, out=(products, sums), workspace=space)
        cpu.apply(rule, products, sums, size, args, carried=carried, out=weights)
        return step.cpu.guide(vectors, weights, out=out)

    return guided


def _diffusers(cond: torch.Tensor, uncond: torch.Tensor) -> Mapping[str, Run]:
    from diffusers.guiders.guider_utils import rescale_noise_cfg

    return {
        "diffusers": lambda: rescale_noise_cfg(uncond + SCALE * (cond - uncond), cond, PHI),
    }


def providers(elements: int) -> Mapping[str, Run]:
    """The same guided latent by each."""
    vectors = _vectors(cpu.CFG_RESCALE, elements)
    cond, uncond = torch.from_numpy(vectors[:, None])
    return {
        "denoisert": _ours(vectors, cpu.CFG_RESCALE, (SCALE, PHI)),
        "reference": lambda: reference.cfg_rescale(vectors[0], vectors[1], SCALE, PHI),
        **where("diffusers", lambda: _diffusers(cond, uncond)),
    }


def _langevin(elements: int) -> Mapping[str, Run]:
    """The same Langevin step by each."""
    vectors = _vectors(cpu.LANGEVIN, elements)
    return {
        "denoisert": _ours(vectors, cpu.LANGEVIN, (SNR, 1.0)),
        "reference": lambda: reference.langevin(vectors[0], vectors[1], SNR, 1.0),
    }


def _evodiff(elements: int) -> Mapping[str, Run]:
    """The same end of a step and probe by each, in channels of even size."""
    channels = CHANNELS if elements % CHANNELS == 0 else 1
    vectors = _vectors(cpu.EVODIFF, elements)
    estimates = vectors[2] + np.stack([vectors[0], 0.0 * vectors[0], -vectors[1]])
    parts = estimates.reshape(3, channels, -1)

    def whole() -> list[np.ndarray]:
        args, before = np.array(STEP), np.array(BEFORE)
        return [reference.evodiff(parts[:, each], args, before)[0] for each in range(channels)]

    return {"denoisert": _ours(vectors, cpu.EVODIFF, STEP, channels), "reference": whole}


def _vectors(rule: int, elements: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((VECTORS[rule], elements), np.float32)


def cases(size: Size) -> list[Case]:
    """Digits and a 4x64x64 latent; vectors are read twice and one is written."""
    return [
        *kernel_cases("rule cfg rescale", size, providers, lambda n: 4 * 5 * n),
        *kernel_cases("rule langevin", size, _langevin, lambda n: 4 * 5 * n),
        *kernel_cases("rule evodiff", size, _evodiff, lambda n: 4 * 7 * n),
    ]


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()
