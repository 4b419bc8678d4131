"""A table's rows as the NumPy device runs them: what does not depend on the slot, worked out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.step.form import DRAWS, Form
from denoisert.kernels.step.row import Operation, Row, Terms
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.sampling.packing import pack_rows
from denoisert.runtime.sampling.table import COUNTER_NOISE, SamplerTable

Array = NDArray[np.float32]


class Instruction(NamedTuple):
    """One row set of one table.

    Args:
        row: what the step kernel executes, float32.
        sources: physical register and scale of each lane's network input.
        times: model time of each lane.
        scalars: (lanes, 4).
        draws: (column, draw index) of fresh counter noise.
        pages: (column, external name, page) of what is read from outside.
        rule: guidance rule, 0 = none.
        rule_args: its arguments.
        has_quantile: whether an operation wants one.
        tapes: (tape, page) that each tap goes to.
        pending: physical register of R_0 after the row.
        shared: register and scale of the network input when all lanes have the same.
        plain: the registers that a row without rule, operation, product and tap writes at once.
    """

    row: Row
    sources: tuple[tuple[int, np.float32], ...]
    times: Array
    scalars: Array
    draws: tuple[tuple[int, int], ...]
    pages: tuple[tuple[int, str, int], ...]
    rule: int
    rule_args: tuple[float, ...]
    has_quantile: bool
    tapes: tuple[tuple[int, int], ...]
    pending: int
    shared: tuple[int, np.float32] | None
    plain: slice | None


def instructions(table: SamplerTable, layout: StateLayout, form: Form) -> tuple[Instruction, ...]:
    """Every row of a table in a pool's column space.

    Args:
        table: the sampler.
        layout: the pool's state.
        form: the pool's column space.

    Returns:
        S + 1 instructions, prologue first.
    """
    before = np.arange(table.form.registers)
    found = []
    for index, row in enumerate(pack_rows(table, layout, form)):
        found.append(_instruction(table, index, row, before, form))
        before = table.rename[index]
    return tuple(found)


def _instruction(
    table: SamplerTable, index: int, row: Row, before: NDArray[np.int64], form: Form
) -> Instruction:
    asked = np.array([branches[0] for branches in table.lanes[index]], np.intp)
    tapes = np.flatnonzero(table.tap_index[index] >= 0)
    registers = before[table.input_register[index, asked]]
    sources = tuple(
        (int(register), np.float32(scale))
        for register, scale in zip(registers, table.input_scale[index, asked], strict=True)
    )
    return Instruction(
        row=_single(row),
        sources=sources,
        times=table.model_time[index, asked].astype(np.float32),
        scalars=table.scalars[index, asked].astype(np.float32),
        draws=_draws(table, index, form),
        pages=_pages(table, index, form),
        rule=int(table.rule[index]),
        rule_args=tuple(table.rule_args[index].tolist()),
        has_quantile=any(code is Operation.DYNAMIC_THRESHOLD for code, _, _ in row.operations),
        tapes=tuple((int(tape), int(table.tap_index[index, tape])) for tape in tapes),
        pending=int(table.rename[index, 0]),
        shared=sources[0] if len(set(sources)) == 1 else None,
        plain=_plain(row),
    )


def _plain(row: Row) -> slice | None:
    """The written registers when one product of matrices makes them and they are neighbours."""
    if row.vectors or any(row.arguments) or row.products or row.taps or not row.registers:
        return None
    span = slice(row.targets[0], row.targets[0] + len(row.targets))
    return span if row.targets == tuple(range(span.start, span.stop)) else None


def _draws(table: SamplerTable, index: int, form: Form) -> tuple[tuple[int, int], ...]:
    return tuple(
        (form.draw(q), table.draw_base[index] + q)
        for q in range(int(table.draws[index]))
        if table.noise_source[q] == COUNTER_NOISE
    )


def _pages(table: SamplerTable, index: int, form: Form) -> tuple[tuple[int, str, int], ...]:
    """External columns, and draws that come from an external."""
    read = [
        (form.external(external), name, int(table.external_index[index, external]))
        for external, name in enumerate(table.externals)
    ]
    recorded = [
        (form.draw(q), table.externals[source], int(table.external_index[index, source]))
        for q, source in enumerate(table.noise_source[:DRAWS])
        if source != COUNTER_NOISE
    ]
    return tuple(page for page in (*read, *recorded) if page[2] >= 0)


def _single(row: Row) -> Row:
    """A row with float32 coefficients."""

    def single(terms: Terms | None) -> Terms | None:
        return terms and Terms(terms.columns, terms.coefficients.astype(np.float32))

    return row._replace(
        vectors=single(row.vectors),
        arguments=tuple(single(terms) for terms in row.arguments),
        registers=single(row.registers),
        taps=single(row.taps),
    )
