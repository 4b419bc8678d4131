"""A table's row sets as the kernels execute them: physical columns, resolved maps, no dead rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.rule import PER_CHANNEL
from denoisert.kernels.step.form import DRAWS, Form
from denoisert.kernels.step.row import Operation, Product, Row, pack
from denoisert.runtime.errors import InvalidInput, InvalidTable
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.sampling.basis import EstimateMap, ExternalMap, Map, RangeMap
from denoisert.runtime.sampling.registers import kept_registers
from denoisert.runtime.sampling.table import SamplerTable


def pack_rows(
    table: SamplerTable, layout: StateLayout, form: Form | None = None
) -> tuple[Row, ...]:
    """Every row set of a table in the physical columns of a pool.

    Args:
        table: the sampler.
        layout: gives part and channel ranges their elements.
        form: the pool's column space, at least as large as the table's; by default the table's own.

    Returns:
        S + 1 row sets, prologue first.

    Raises:
        InvalidTable: the pool's column space is too small, or a range is outside the layout.
        InvalidInput: see `check_channels`.
    """
    check_channels(table, layout)
    pool = form or table.form
    if any(have < need for have, need in zip(pool, table.form, strict=True)):
        raise InvalidTable(f"a table of {table.form} does not fit a pool of {pool}.")
    before = np.arange(table.form.registers)
    packed = []
    for row in range(table.stages + 1):
        packed.append(_pack(table, row, before, layout, pool))
        before = table.rename[row]
    return tuple(packed)


def check_channels(table: SamplerTable, layout: StateLayout) -> None:
    """Refuse a table whose rules weigh every channel where the channels are not alike.

    Raises:
        InvalidInput: parts whose channels differ in size.
    """
    if not layout.channels and any(PER_CHANNEL[rule] for rule in table.rule):
        sizes = ", ".join(f"{part.name!r} {part.channel_stride}" for part in layout.parts)
        raise InvalidInput(
            "the sampler weighs every channel of the state by itself, which takes channels of one "
            f"size; they have {sizes} elements. Use a solver that treats all elements alike, such "
            "as DPMpp2M()."
        )


def _pack(
    table: SamplerTable, row: int, before: NDArray[np.int64], layout: StateLayout, pool: Form
) -> Row:
    form, live = table.form, int(table.live[row])
    products = table.products[row]
    kept = kept_registers(table.matrix[row], {p.register for p in products}, live, form)
    written = tuple(
        i
        for i in range(form.registers)
        if live >> i & 1 and not (i in kept and table.rename[row, i] == before[kept[i]])
    )
    columns = _columns(form, pool, before)
    matrix = np.zeros((pool.rows, pool.columns))
    matrix[np.ix_(_rows(form, pool), columns)] = table.matrix[row]
    return pack(
        matrix,
        pool,
        operations=tuple(
            (Operation(int(code)), float(a), float(b))
            for code, (a, b) in zip(table.operation[row], table.operation_args[row], strict=True)
        ),
        registers=written,
        targets=tuple(int(table.rename[row, i]) for i in written),
        products=tuple(
            _product(p.gain, p.map, int(columns[p.source]), written.index(p.register), layout, pool)
            for p in products
            if p.register in written
        ),
        taps=tuple(int(t) for t in np.flatnonzero(table.tap_index[row] >= 0)),
    )


def _columns(form: Form, pool: Form, before: NDArray[np.int64]) -> NDArray[np.int64]:
    """The pool's physical column of every column of the table."""
    return np.array(
        [
            *before,
            *(pool.branch(b) for b in range(form.branches)),
            pool.guided,
            pool.estimate(0),
            pool.estimate(1),
            *(pool.draw(q) for q in range(DRAWS)),
            *(pool.external(e) for e in range(form.externals)),
            pool.one,
        ],
        np.int64,
    )


def _rows(form: Form, pool: Form) -> NDArray[np.int64]:
    """The pool's row of every row of the table."""
    head = list(range(form.register_row(form.registers)))
    return np.array([*head, *(pool.tap_row(t) for t in range(form.taps))], np.int64)


def _product(
    gain: float, where: Map, source: int, register: int, layout: StateLayout, pool: Form
) -> Product:
    """One product with its map as a column and a range of elements."""
    column, first, last = -1, 0, layout.elements
    if isinstance(where, ExternalMap):
        column = pool.external(where.position)
    elif isinstance(where, EstimateMap):
        column = pool.estimate(where.position)
    elif isinstance(where, RangeMap):
        first, last = _range(where, layout)
    return Product(register, gain, column, source, first, last)


def _range(where: RangeMap, layout: StateLayout) -> tuple[int, int]:
    if not 0 <= where.part < len(layout.parts):
        raise InvalidTable(f"part {where.part} of a state of {len(layout.parts)} parts.")
    part = layout.parts[where.part]
    channels = where.channels or part.channels - where.first
    if where.first < 0 or channels < 1 or where.first + channels > part.channels:
        raise InvalidTable(
            f"channels {where.first} to {where.first + channels - 1} of part {part.name!r}, "
            "which has "
            f"{part.channels}."
        )
    start = layout.ranges[where.part][0] + where.first * part.channel_stride
    return start, start + channels * part.channel_stride
