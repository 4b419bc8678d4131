"""Every named solver on a path that it takes, and its table as linear forms of all it reads."""

import numpy as np

from denoisert.export.probe.realisation import realise
from denoisert.export.probe.trace import Kind, Trace
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.names import SOLVERS
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import (
    Exponential,
    Final,
    Flow,
    Linear,
    ResidualBridgePath,
    Trailing,
)
from denoisert.runtime.sampling.solvers import Solver
from denoisert.runtime.sampling.table import SamplerTable

PATHS = {
    "variance preserving": (Linear(), Exponential(0.03, 100.0), Parametrisation.V),
    "noise kept": (Linear(), Exponential(0.03, 100.0, Final.SPACED), Parametrisation.V),
    "flow": (Flow(), Trailing(), Parametrisation.FLOW),
    "residual bridge": (ResidualBridgePath(), Trailing(), Parametrisation.X0),
}


def path_of(solver: Solver) -> str:
    """The first path that a solver takes.

    Raises:
        InvalidInput: it takes none of them.
    """
    refused = []
    for name in PATHS:
        try:
            table_of(solver, 8, name)
        except InvalidInput as error:
            refused.append(str(error))
        else:
            return name
    raise InvalidInput(" ".join(refused))


def table_of(solver: Solver, steps: int, path: str) -> SamplerTable:
    """The table of a solver without guidance."""
    schedule, spacing, parametrisation = PATHS[path]
    rows = solver.rows(spacing.grid(schedule, steps))
    return fold(rows, parametrisation, Unguided())


def is_linear(table: SamplerTable) -> bool:
    """Whether every row is one: no operation, no rule, no product by a map."""
    return not (table.operation.any() or table.rule.any() or any(table.products))


def minimal_registers(table: SamplerTable) -> tuple[int, ...]:
    """The fewest registers that any table of the same sampler has at each boundary.

    Every network input is unrolled to a linear form over what the run reads from outside: noise,
    externals and network outputs, in order of appearance. The rank does the rest.
    """
    forms, kinds = _forms(table)
    inputs, final = np.array(forms[:-1]), forms[-1]
    trace = Trace(inputs, final, tuple(kinds), tuple(table.model_time[1:, 0]))
    clean = [(1.0, 0.0)] * table.stages
    return realise(trace, clean).minimal


def _forms(table: SamplerTable) -> tuple[list[np.ndarray], list[Kind]]:
    """R_0 before every stage and at the end, over coordinates in order of appearance."""
    form = table.form
    width = sum(_seen(table, row) for row in range(table.stages + 1))
    registers, kinds, forms = np.zeros((form.registers, width)), [], []
    for row in range(table.stages + 1):
        columns = np.zeros((form.columns, width))
        columns[: form.registers] = registers
        for column in _outside(table, row):
            columns[column, len(kinds)] = 1.0
            kinds.append(Kind.OUTPUT if column == form.branch(0) else Kind.DRAW)
        columns[form.one] = 0.0
        registers = table.resolved(row) @ columns
        forms.append(registers[0].copy())
    return forms, kinds


def _outside(table: SamplerTable, row: int) -> list[int]:
    """Columns that a row reads from outside, the network's output first."""
    form = table.form
    branches = [form.branch(0)] if row else []
    draws = [form.draw(index) for index in range(int(table.draws[row]))]
    pages = np.flatnonzero(table.external_index[row] >= 0)
    return [*branches, *draws, *(form.external(int(index)) for index in pages)]


def _seen(table: SamplerTable, row: int) -> int:
    return len(_outside(table, row))


ROSTER = {name: kind() for name, kind in SOLVERS.items()}
