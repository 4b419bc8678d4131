"""The yardstick of digits: a classifier's verdict and the nearest training picture of a class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.quality.yardstick import OWN, Scores, Yardstick
from denoisert.export.zoo.digits.data import split_digits
from denoisert.export.zoo.digits.quality import classify
from denoisert.runtime import Result, Shifted, Trailing

CLASSES = 10
IMAGES = 2


def score(results: Sequence[Result]) -> Scores:
    """Judge the pictures of the first classes.

    Args:
        results: one for each class, from 0 on.
    """
    pictures = np.concatenate([result.latents["latent"] for result in results]).astype(np.float64)
    labels = np.repeat(np.arange(len(results)), [len(result.flat) for result in results])
    return Scores(nearest(pictures.clip(-1.0, 1.0), labels), classify(pictures) == labels)


def nearest(pictures: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Root mean square difference to the nearest training picture of the same class.

    Args:
        pictures: (B, 1, 16, 16) in [-1, 1].
        labels: (B,).

    Returns:
        (B,).
    """
    train, _ = split_digits()
    found = np.empty(len(pictures))
    for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        known = train.images[train.labels == label]
        found[index] = ((known - picture) ** 2).mean((1, 2, 3)).min()
    return np.sqrt(found)


YARDSTICK = Yardstick(
    name="digits",
    distance="RMS distance to the nearest training picture of the class",
    conditions=tuple(range(CLASSES)),
    images=IMAGES,
    score=score,
    spacings={
        "shift 0.5": Shifted(Trailing(), 0.5),
        "shift 2": Shifted(Trailing(), 2.0),
    },
    shown=("shift 0.5", "shift 2"),
    selected=("euler", "dpmpp_2m", "unipc", "deis", "heun"),
    named=(("euler", OWN), ("unipc", OWN)),
)
