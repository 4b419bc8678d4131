"""How much memory a pool needs, before it takes it."""

from __future__ import annotations

from collections.abc import Sequence

from denoisert.runtime.devices.device import Memory
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.sampling.table import SamplerTable

FLOAT_BYTES = 4
CARRIED_BYTES = 4 * 8
ROW_BYTES = 4096
"""One row of a table, worked out for the device: 1900 to 3000 bytes of small objects on a CPU."""


def footprint(
    memory: Memory,
    tables: Sequence[SamplerTable],
    layout: StateLayout,
    *,
    slots: int,
    parked: int,
    arena_rows: int,
) -> int:
    """An upper bound of what a pool holds while it runs works of some tables.

    Columns, scratch, condition banks and lanes of the memory that all of them fit; the same
    once more if it has to grow, as the old one is copied into the new one; tapes of every
    slot; registers and tapes of parked works; rows in the arena.

    Args:
        memory: of the pool.
        tables: of every work that runs, waits or is to come, and those that hold rows.
        layout: shape of the state.
        slots: capacity of the pool.
        parked: works that are parked at the same time, at most.
        arena_rows: capacity of the arena.

    Returns:
        Bytes.
    """
    form, lanes = memory.form, memory.lanes
    for table in tables:
        form = memory.wider(form, table)
        lanes = max(lanes, *map(len, table.lanes))
    spaces = 1 if (form, lanes) == (memory.form, memory.lanes) else 2
    pages = max((sum(table.tape_pages) for table in tables), default=0)
    latents = (slots + parked) * pages + parked * form.registers
    kept = latents * layout.elements * FLOAT_BYTES + parked * CARRIED_BYTES
    rows = sum({table.fingerprint: table.stages + 1 for table in tables}.values())
    return spaces * memory.nbytes(form, lanes) + kept + min(rows, arena_rows) * ROW_BYTES
