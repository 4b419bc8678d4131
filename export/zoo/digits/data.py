"""The real pictures: scikit-learn's UCI digits, enlarged to 16x16, and their fixed split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

TRAIN_IMAGES: Final = 1400
"""Of 1,797; the other 397 are held out from the network and from the classifier of `quality.py`."""

SPLIT_SEED: Final = 20240229
"""Seed of the permutation that splits the set: the file's own order groups pictures by writer."""


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Pictures and their classes.

    Args:
        images: (B, 1, 16, 16) float32 in [-1, 1]; -1 is paper, 1 is ink.
        labels: (B,) int64 in 0..9.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


def load_digits() -> LabelledImages:
    """Read all 1,797 digits from the installed scikit-learn, in the file's order.

    Source:
        Alpaydin, Kaynak 1998, Optical Recognition of Handwritten Digits, UCI, doi 10.24432/C50P49.
    """
    from sklearn import datasets

    pixels, labels = datasets.load_digits(return_X_y=True)
    enlarge = _bilinear_matrix(8, 2)
    images = enlarge @ (pixels.reshape(-1, 8, 8) / 8.0 - 1.0) @ enlarge.T
    return LabelledImages(images[:, None].astype(np.float32), labels.astype(np.int64))


def split_digits() -> tuple[LabelledImages, LabelledImages]:
    """The training set (1,400 digits) and the held-out set (397), the same in every run."""
    digits = load_digits()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(digits.labels))
    train, held_out = order[:TRAIN_IMAGES], order[TRAIN_IMAGES:]
    return (
        LabelledImages(digits.images[train], digits.labels[train]),
        LabelledImages(digits.images[held_out], digits.labels[held_out]),
    )


def _bilinear_matrix(size: int, factor: int) -> NDArray[np.float64]:
    """The (factor * size, size) matrix that enlarges one axis; the edges are repeated."""
    position = (np.arange(factor * size) + 0.5) / factor - 0.5
    lower = np.floor(position)
    weight = (position - lower)[:, None]
    left = np.clip(lower, 0, size - 1).astype(int)
    right = np.clip(lower + 1, 0, size - 1).astype(int)
    eye = np.eye(size)
    matrix: NDArray[np.float64] = (1 - weight) * eye[left] + weight * eye[right]
    return matrix
