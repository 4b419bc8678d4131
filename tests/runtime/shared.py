"""Tables whose branches share lanes, and tables that tell the network more than a time."""

from dataclasses import replace

import numpy as np

from denoisert.kernels.step.form import Form
from denoisert.kernels.step.row import Operation
from denoisert.runtime.sampling.basis import Applied, EstimateMap, Term
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.previews import with_previews
from denoisert.runtime.sampling.registers import placement
from denoisert.runtime.sampling.rows import Program
from denoisert.runtime.sampling.schedules import Flow, Trailing
from tests.runtime.sampling.drafts import assemble, blank

GUIDED = [Unguided(), CFG(2.5), CFG(0.0), CFG(3.0, interval=(0.4, 3.0)), CFG(4.0, rescale=0.7)]


def variance_rows(grid):
    """Noise of a learned size: x' = alpha_s D + 0.7 sigma_s E + 0.4 sigma_s exp(U / 2) xi.

    U = 0.9 W - 0.5 with W the network's second port, of the condition that is asked first.
    """
    program = Program(grid, 1)
    basis = program.basis
    for step in range(len(grid.alpha) - 1):
        now, after = grid[step], grid[step + 1]
        size = Applied(Operation.EXP_HALF, 0.0, 0.0, 0.9 * basis.variance - 0.5 * basis.one)
        drawn = Term(0, 0.4 * after.sigma, EstimateMap(0), basis.draws[0])
        mean = after.alpha * basis.denoised + 0.7 * after.sigma * basis.noise
        program.stage(now, [mean], products=[drawn], operations=[size])
    return program.rows()


def variance_table(steps=5, guidance=None, *, previews=0, shift=1.5):
    """`variance_rows` on the linear path."""
    rows = variance_rows(Trailing().grid(Flow(shift=shift), steps))
    rows = with_previews(rows, previews) if previews else rows
    return fold(rows, Parametrisation.FLOW, guidance or Unguided())


def apart(table):
    """The same sampler, its last branch a lane of its own: it asks for one more condition.

    A work of it has the first condition's values once more.
    """
    condition = table.condition.copy()
    own = int(condition.max()) + 1
    condition[:, -1] = np.where(condition[:, -1] >= 0, own, -1)
    return replace(table, condition=condition)


def told_rows(grid, scalars):
    """Euler; stage s tells scalars[s], at most four numbers."""
    program = Program(grid, 1)
    basis = program.basis
    for step, told in enumerate(scalars):
        now, after = grid[step], grid[step + 1]
        x = after.alpha * basis.denoised + after.sigma * basis.noise
        program.stage(now._replace(scalars=tuple(told)), [x])
    return program.rows()


def told_table(scalars, guidance=None, *, shift=1.5):
    """`told_rows` on the linear path."""
    rows = told_rows(Trailing().grid(Flow(shift=shift), len(scalars)), scalars)
    return fold(rows, Parametrisation.FLOW, guidance or Unguided())


def moving_table(scales, steps=4):
    """Two registers that change places; the network reads R_1, scaled, and is told a number."""
    form = Form(2, 1)
    matrix = blank(form, steps)
    matrix[0, form.register_row(1), form.draw(1)] = 1.0
    matrix[1:, form.register_row(0), 1] = 1.0  # a copy, which is renamed
    matrix[1:, form.register_row(1), [0, form.branch(0)]] = 0.6, 0.5
    live = np.full(steps + 1, 0b11)
    live[-1] = 0b01
    numbers = np.zeros((steps + 1, 1, 4))
    numbers[1:, 0, 0] = np.linspace(-1, 1, steps)
    products = ((),) * (steps + 1)
    return assemble(
        form,
        matrix,
        live=live,
        rename=placement(matrix, products, live, form),
        input_register=np.ones((steps + 1, 1), np.int64),
        input_scale=np.concatenate([[1.0], scales])[:, None],
        model_time=np.linspace(0, 1, steps + 1)[:, None],
        scalars=numbers,
    )
