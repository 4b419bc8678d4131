"""Rows as an arena holds them: those of real samplers, and one of a predictor-corrector's form.

A slot's counter leaves its rows behind, so a table must last for as many launches as come between
two resets: from `FIRST` on, 29 rows of 32 steps ask and do the same, only their numbers differ.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from denoisert.kernels.step.encode import Surroundings, encode
from denoisert.kernels.step.form import Form
from denoisert.kernels.step.record import FORMS, Record
from denoisert.kernels.step.row import Operation, pack
from denoisert.runtime.devices.instructions import instructions
from denoisert.runtime.devices.torch.rows import Rows, encode_rows
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.operations import EstimateOperation
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import ScaledLinear, Trailing
from denoisert.runtime.sampling.solvers import Solver

STEPS = 32
FIRST = 2  # the row after the solver's own start
SMALLEST = FORMS[0]
NONE = (Operation.NONE, 0.0, 0.0)
REGISTERS = 3  # that the predictor-corrector writes


def of_solver(
    solver: Solver,
    elements: int,
    *,
    form: Form = SMALLEST,
    rescale: float = 0.0,
    operation: EstimateOperation | None = None,
) -> Rows:
    """The rows of a guided sampler on latent diffusion's schedule.

    Args:
        solver: ours.
        elements: of the latent.
        form: column space of the pool.
        rescale: of the guidance; above 0 it is a rule.
        operation: on the clean estimate, or None.
    """
    guidance = CFG(4.0, rescale=rescale)
    solved = solver.rows(Trailing().grid(ScaledLinear(), STEPS))
    table = fold(replace(solved, bound=operation), Parametrisation.EPS, guidance)
    layout = StateLayout((Part("latent", (elements,)),))
    return encode_rows(table, instructions(table, layout, form), Record(form))


def predictor_corrector() -> Rows:
    """x' and y' over 4 registers and 2 branches, d' over x and 2 branches, as UniPC-3 has them.

    The coefficients are random, and no row grows: the sum of their sizes is 1.
    """
    form, record = SMALLEST, Record(SMALLEST)
    generator = np.random.default_rng(7)
    matrix = np.zeros((form.rows, form.columns), np.float32)
    for register in range(REGISTERS):
        columns = [*range(form.guided)]
        read = columns if register < REGISTERS - 1 else [0, *columns[form.registers :]]
        drawn = generator.uniform(0.5, 1.0, len(read)) * generator.choice((-1, 1), len(read))
        matrix[form.register_row(register), read] = drawn / np.abs(drawn).sum()
    written = tuple(range(REGISTERS))
    row = pack(matrix, form, operations=(NONE, NONE), registers=written, targets=written)
    numbers = {"scales": (1.0,) * 2, "times": (500.0,) * 2, "scalars": ((0.0,) * 4,) * 2}
    around = Surroundings(sources=(0, 0), needed=(0,), is_followed=True, **numbers)
    integers, floats = encode(record, row, around)
    many = (STEPS + 1, 1)
    return Rows(np.tile(integers, many), np.tile(floats, many), np.zeros((STEPS + 1, 8)))
