"""What a slot asks of the engines at one row: the branches that become lanes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from denoisert.runtime.sampling.table import SamplerTable


class Ask(NamedTuple):
    """One branch of one row.

    Args:
        column: b, the branch's index in the table.
        engine: index into the pool's denoisers.
        condition: index into the work's conditions.
        port: index into the network's output ports.
    """

    column: int
    engine: int
    condition: int
    port: int


def row_asks(table: SamplerTable) -> tuple[tuple[Ask, ...], ...]:
    """The branches that every row evaluates; rows that ask the same share one tuple.

    Args:
        table: the sampler.

    Returns:
        S + 1 tuples, the prologue's empty.
    """
    seen: dict[tuple[Ask, ...], tuple[Ask, ...]] = {}
    rows = []
    for row in range(table.stages + 1):
        asks = tuple(
            Ask(
                int(b),
                int(table.engine[row, b]),
                int(table.condition[row, b]),
                int(table.port[row, b]),
            )
            for b in np.flatnonzero(table.condition[row] >= 0)
        )
        rows.append(seen.setdefault(asks, asks))
    return tuple(rows)
