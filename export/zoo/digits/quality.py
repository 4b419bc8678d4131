"""The yardstick's measure: how often a classifier of real digits sees the digit that was asked for.

Solvers, precisions and guidance are compared by it. The classifier is a support vector machine,
fitted in a fraction of a second on the training digits, so that no second set of weights has to be
shipped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.export.zoo.digits.data import split_digits
from denoisert.runtime.errors import InvalidInput

PIXELS = 256
"""Numbers in one picture, 16 x 16."""


def agreement(images: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> float:
    """Share of pictures that the classifier puts into the class that was asked for.

    Args:
        images: (B, 1, 16, 16) or (B, 16, 16), in [-1, 1]; values outside are clipped.
        labels: (B,) in 0..9, the classes asked for.

    Returns:
        A share in [0, 1]; `held_out_accuracy` is what real digits reach.

    Raises:
        InvalidInput: if the shapes do not fit or a value is not finite.
    """
    return float(np.mean(classify(images) == _checked_labels(images, labels)))


def classify(images: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """The class of every picture, as seen by a classifier of real digits.

    Args:
        images: (B, 1, 16, 16) or (B, 16, 16), in [-1, 1]; values outside are clipped.

    Returns:
        (B,) int64 in 0..9.

    Raises:
        InvalidInput: if the shape does not fit or a value is not finite.
    """
    from sklearn.svm import SVC

    rows = _rows(images)
    train, _ = split_digits()
    classifier = SVC(C=10.0, gamma="scale").fit(_rows(train.images), train.labels)
    return np.asarray(classifier.predict(rows), dtype=np.int64)


def held_out_accuracy() -> float:
    """Accuracy of the classifier on the 397 real digits that it was not fitted on, in [0, 1]."""
    _, held_out = split_digits()
    return agreement(held_out.images, held_out.labels)


def _rows(images: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Pictures as clipped rows (B, 256)."""
    if images.shape[1:] not in ((1, 16, 16), (16, 16)) or not len(images):
        raise InvalidInput(
            f"images have shape {images.shape}; pass (B, 1, 16, 16) or (B, 16, 16), B at least 1."
        )
    if not np.isfinite(images).all():
        raise InvalidInput("images hold a value that is not finite; check the sampler's status.")
    rows: NDArray[np.float64] = images.reshape(-1, PIXELS).astype(np.float64)
    return rows.clip(-1.0, 1.0)


def _checked_labels(
    images: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
) -> NDArray[np.integer[Any]]:
    """The labels, one for each picture."""
    if labels.shape != images.shape[:1]:
        raise InvalidInput(
            f"labels have shape {labels.shape}; pass one for each of the {len(images)} images."
        )
    return labels
