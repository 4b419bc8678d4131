"""How far a picture is from the reference's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.case import Extra
from bench.peers.place import Place
from bench.peers.provider import Provider
from bench.peers.work import TASKS

Pictures = NDArray[np.uint8]
LEVELS = 255.0
EQUAL_DB = 100.0  # what equal pictures get instead of infinity, which JSON lacks


def psnr_db(pictures: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of the worst picture, dB: 10 log10(255^2 / mean squared error).

    Args:
        pictures: (n, H, W, 3).
        truth: the same shape.

    Returns:
        At most EQUAL_DB.
    """
    squared = (pictures.astype(np.float64) - truth) ** 2
    worst = float(squared.reshape(len(squared), -1).mean(axis=1).max())
    return min(EQUAL_DB, 10.0 * float(np.log10(LEVELS**2 / worst))) if worst else EQUAL_DB


def max_error(pictures: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Largest difference of any value, in 1/255."""
    return float(np.abs(pictures.astype(np.int16) - truth.astype(np.int16)).max())


def quality(own: Mapping[str, Pictures], truth: Mapping[str, Pictures], task: str) -> Extra:
    """The worst picture against the reference's from the same noise."""
    if task not in own or task not in truth:
        return {}
    return {
        "psnr_db": round(psnr_db(own[task], truth[task]), 1),
        "max_error_of_255": max_error(own[task], truth[task]),
    }


def pictures_of(providers: Sequence[Provider], place: Place) -> dict[str, dict[str, Pictures]]:
    """What every provider drew in the round that was not counted, by provider and task."""
    drawn: dict[str, dict[str, Pictures]] = {}
    for provider in providers:
        paths = {task: place.pictures(provider.name, task) for task in TASKS}
        drawn[provider.name] = {
            task: np.load(path)["pictures"] for task, path in paths.items() if path.exists()
        }
    return drawn
