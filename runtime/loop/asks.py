"""What a slot asks of the engines at one row: evaluations that become lanes, and who reads them."""

from __future__ import annotations

from typing import NamedTuple

from denoisert.runtime.sampling.table import SamplerTable


class Read(NamedTuple):
    """One branch of a lane.

    Args:
        column: b, the branch's index in the table.
        port: index into the network's output ports.
    """

    column: int
    port: int


class Ask(NamedTuple):
    """One lane of one row.

    Args:
        engine: index into the pool's denoisers.
        condition: index into the work's conditions.
        reads: the branches that read it; they differ in nothing but the port.
    """

    engine: int
    condition: int
    reads: tuple[Read, ...]

    @property
    def column(self) -> int:
        """The branch that says what the lane is told: its first one."""
        return self.reads[0].column


def row_asks(table: SamplerTable) -> tuple[tuple[Ask, ...], ...]:
    """The lanes that every row evaluates; rows that ask the same share one tuple.

    Args:
        table: the sampler.

    Returns:
        S + 1 tuples, the prologue's empty.
    """
    seen: dict[tuple[Ask, ...], tuple[Ask, ...]] = {}
    rows = []
    for row, lanes in enumerate(table.lanes):
        asks = tuple(_ask(table, row, branches) for branches in lanes)
        rows.append(seen.setdefault(asks, asks))
    return tuple(rows)


def _ask(table: SamplerTable, row: int, branches: tuple[int, ...]) -> Ask:
    first = branches[0]
    reads = tuple(Read(branch, int(table.port[row, branch])) for branch in branches)
    return Ask(int(table.engine[row, first]), int(table.condition[row, first]), reads)
