"""A linear read-out: picture values from a clean latent without the decoder, for previews.

Every picture channel at a latent position is taken for a weighted sum of the latent's channels and
a bias. The weights come from least squares over decoded random latents; nothing of the training
data is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Readout = tuple[tuple[float, ...], ...]

PICTURES: Final = 12
"""Latents that are decoded."""

GRAINS: Final = (1, 2, 4, 8)
"""Sizes of the patches in which random latents are constant; real ones are smooth, too."""

SEED: Final = 3
DIGITS: Final = 5
"""Significant digits that are kept, so that equal models make equal cards."""


def estimate_readout(decode: Callable[[Array], Array], shape: tuple[int, ...]) -> Readout:
    """Fit the weights.

    picture[k] at a position = sum_c w[k, c] latent[c] + w[k, C].

    Args:
        decode: latents (B, C, H, W) in units of the denoiser -> pictures (B, K, f H, f W).
        shape: (C, H, W) of one latent.

    Returns:
        K rows of C weights and a bias.
    """
    generator = np.random.default_rng(SEED)
    latents = np.concatenate([_latent(shape, grain, generator) for grain in _grains()])
    pictures = np.concatenate([decode(latents[i : i + 1]) for i in range(len(latents))])
    columns = np.moveaxis(latents, 1, -1).reshape(-1, shape[0])
    targets = np.moveaxis(_shrink(pictures, shape[1:]), 1, -1).reshape(len(columns), -1)
    ones = np.ones((len(columns), 1))
    weights, *_ = np.linalg.lstsq(np.hstack([columns, ones]), targets, rcond=None)
    return tuple(tuple(_rounded(value) for value in row) for row in weights.T)


def _grains() -> list[int]:
    return [GRAINS[index % len(GRAINS)] for index in range(PICTURES)]


def _latent(shape: tuple[int, ...], grain: int, generator: np.random.Generator) -> Array:
    """One normal latent, constant in patches of grain x grain, with a tenth of fine noise."""
    channels, height, width = shape
    coarse = (channels, -(-height // grain), -(-width // grain))
    patches = generator.standard_normal(coarse).repeat(grain, 1).repeat(grain, 2)
    fine = generator.standard_normal(shape)
    mixed = np.sqrt(0.9) * patches[:, :height, :width] + np.sqrt(0.1) * fine
    latent: Array = mixed[None].astype(np.float32)
    return latent


def _shrink(pictures: Array, size: tuple[int, ...]) -> Array:
    """Means over the pixels of each latent position."""
    count, channels, *_ = pictures.shape
    height, width = size
    blocks = pictures.reshape(count, channels, height, -1, width, pictures.shape[-1] // width)
    means: Array = blocks.mean(axis=(3, 5), dtype=np.float64)
    return means


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS - 1}e}")
