"""A table as text: one line per register that a row writes, in the letters of the design."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.step.form import ARGUMENTS, DRAWS, VECTORS, Form
from denoisert.kernels.step.row import Operation
from denoisert.runtime.sampling.basis import EstimateMap, ExternalMap, Map, RangeMap
from denoisert.runtime.sampling.table import SamplerTable

CONDITIONS = ("cond", "uncond")


def table_text(table: SamplerTable) -> Iterator[str]:
    """Every row of a table, prologue first.

    Args:
        table: the sampler.

    Yields:
        Lines without line breaks.
    """
    form = table.form
    yield (
        f"{table.stages} stages, {table.nfe} evaluations, {form.registers} registers, "
        f"{form.branches} branches, {int(table.draws.sum())} draws, "
        f"amplification {table.amplification:.3g}"
    )
    for row in range(table.stages + 1):
        yield ""
        yield "prologue" if row == 0 else _heading(table, row)
        yield from (f"    {line}" for line in _lines(table, row))


def _heading(table: SamplerTable, row: int) -> str:
    asked = np.flatnonzero(table.condition[row] >= 0)
    branches = ", ".join(
        f"F{b} = {_condition(int(table.condition[row, b]))}" for b in asked.tolist()
    )
    time = table.model_time[row, asked[0]] if asked.size else np.nan
    return (
        f"stage {row}: model time {time:g}, alpha {table.alpha[row]:.6g}, "
        f"sigma {table.sigma[row]:.6g}; {branches or 'no network'}"
    )


def _condition(index: int) -> str:
    return CONDITIONS[index] if index < len(CONDITIONS) else f"condition {index}"


def _lines(table: SamplerTable, row: int) -> Iterator[str]:
    form, matrix, names = table.form, table.matrix[row], _names(table.form, table.externals)
    for vector in range(VECTORS):
        if matrix[form.vector_row(vector)].any():
            yield f"V{vector}  = {_sum(matrix[form.vector_row(vector)], names)}"
    if table.rule[row]:
        arguments = ", ".join(f"{value:g}" for value in table.rule_args[row])
        yield f"G   = rule {int(table.rule[row])}({arguments})"
    for index in range(ARGUMENTS):
        code = Operation(int(table.operation[row, index]))
        if code is not Operation.NONE:
            a, b = table.operation_args[row, index]
            argument = _sum(matrix[form.argument_row(index)], names)
            yield f"D{index}  = {code.name.lower()}({argument}; {a:g}, {b:g})"
    for register in range(form.registers):
        if table.live[row] >> register & 1:
            yield f"R{register}' = {_register(table, row, register, names)}"
    for tape in range(form.taps):
        page = int(table.tap_index[row, tape])
        if page >= 0:
            yield f"tap{tape}[{page}] = {_sum(matrix[form.tap_row(tape)], names)}"


def _register(table: SamplerTable, row: int, register: int, names: list[str]) -> str:
    linear = _sum(table.matrix[row, table.form.register_row(register)], names)
    products = [
        f"{p.gain:+.6g} {_map(p.map, table.externals)} {names[p.source]}"
        for p in table.products[row]
        if p.register == register
    ]
    if not products:
        return linear
    return " ".join([*([] if linear == "0" else [linear]), *products])


def _map(where: Map, externals: tuple[str, ...]) -> str:
    if isinstance(where, ExternalMap):
        return f"[{externals[where.position]}]"
    if isinstance(where, EstimateMap):
        return f"[D{where.position}]"
    if isinstance(where, RangeMap):
        last = f"{where.first + where.channels - 1}" if where.channels else "end"
        return f"[part {where.part}, channels {where.first} to {last}]"
    return "[1]"


def _names(form: Form, externals: tuple[str, ...]) -> list[str]:
    return [
        *(f"R{i}" for i in range(form.registers)),
        *(f"F{b}" for b in range(form.branches)),
        "G",
        *(f"D{o}" for o in range(ARGUMENTS)),
        *(f"xi{q}" for q in range(DRAWS)),
        *(f"X[{name}]" for name in externals),
        "1",
    ]


def _sum(values: NDArray[np.float64], names: list[str]) -> str:
    terms = [f"{values[c]:+.6g} {names[c]}" for c in np.flatnonzero(values)]
    return " ".join(terms).removeprefix("+") or "0"
