"""The branch columns of a table: who is asked at every stage, when and about what."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.sampling.guidance import Branches
from denoisert.runtime.sampling.rows import Rows
from denoisert.runtime.sampling.table import SCALARS

SECOND_PORT = 1


def network_columns(
    rows: Rows, branches: Branches, learned: NDArray[np.bool_]
) -> dict[str, NDArray[Any]]:
    """The fields of a `SamplerTable` with one entry for each row set and branch.

    A learned variance is one more branch: the first condition's, at the network's second port. It
    differs from that branch in nothing else, so both are one evaluation.

    Args:
        rows: where each stage asks.
        branches: whom.
        learned: (S + 1,), which row sets read the learned variance.

    Returns:
        condition, engine, port, model_time, input_scale, input_register and scalars.
    """
    conditions = list(branches.conditions)
    asked = np.zeros((rows.stages + 1, len(conditions)), bool)
    asked[1:] = branches.weights != 0
    port = np.zeros(asked.shape, np.int64)
    if learned.any():
        conditions.append(conditions[0])
        asked = np.column_stack([asked, learned])
        port = np.column_stack([port, np.full(len(learned), SECOND_PORT)])
    times, scales = np.zeros(asked.shape), np.ones(asked.shape)
    scalars = np.zeros((*asked.shape, SCALARS))
    for row, point in enumerate(rows.points, 1):
        times[row], scales[row] = point.model_time, point.input_scale
        scalars[row, :, : len(point.scalars)] = point.scalars
    return {
        "condition": np.where(asked, np.array(conditions, np.int64), -1),
        "engine": np.zeros(asked.shape, np.int64),
        "port": port,
        "model_time": times,
        "input_scale": scales,
        "input_register": np.zeros(asked.shape, np.int64),
        "scalars": scalars,
    }
