"""Which branches of a row are one evaluation of the network.

A branch is a column of the table, a lane is an evaluation. Branches that differ in nothing but the
port they read, as a prediction and the variance learned beside it, share one lane.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Lanes = tuple[tuple[tuple[int, ...], ...], ...]
"""For each row its lanes, for each lane its branches, both by their first branch."""


def shared(asked: NDArray[np.bool_], told: NDArray[np.float64]) -> Lanes:
    """Group the branches of every row that ask the same of the same network.

    Args:
        asked: (S + 1, B) whether the branch exists in the row.
        told: (S + 1, B, numbers) all that decides what the network computes for it.

    Returns:
        The lanes of S + 1 rows.
    """
    rows = []
    for branches, numbers in zip(asked, told.tolist(), strict=True):
        lanes: dict[tuple[float, ...], list[int]] = {}
        for branch in np.flatnonzero(branches).tolist():
            lanes.setdefault(tuple(numbers[branch]), []).append(branch)
        rows.append(tuple(map(tuple, lanes.values())))
    return tuple(rows)
