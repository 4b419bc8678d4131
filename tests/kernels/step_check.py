"""Running one row of one slot, and everything that it must have left behind."""

from __future__ import annotations

import numpy as np
import torch

from denoisert.kernels.step import launch
from denoisert.kernels.step.encode import Surroundings
from denoisert.kernels.step.record import ARRIVED, STATUS
from denoisert.kernels.step.row import pack
from tests.kernels.step_rows import Case, truth_of, write_case
from tests.kernels.step_space import PAGE, POISON, place
from tests.kernels.test_step import NONE

# Half an ulp where a product is rounded to it; the interpreter truncates to bfloat16, a whole one.
HALF_ULP = {torch.float32: 2.0**-24, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-7}
SMALLEST = 2.0**-25  # half of float16's smallest step


def run(case, device, *, bounds=None, **shape):
    """One row of one slot."""
    elements = case.columns.shape[1]
    where = place(case.form, device, elements=elements, bounds=bounds, **shape)
    write_case(where, 0, case)
    with np.errstate(all="ignore"):  # the interpreter computes with NumPy
        launch.step(where.space)
    return where


def bits(values):
    return np.ascontiguousarray(values, np.float32).view(np.int32)


def check(where, slot, case, *, truth=None):
    """Registers, taps, inputs, times, scalars and state of a slot after one row."""
    truth = truth or truth_of(case)
    row = case.row
    found, new = where.registers(slot), case.columns[: case.form.registers].astype(np.float64)
    allowed = np.zeros_like(new)
    for position, target in enumerate(row.targets):
        new[target], allowed[target] = truth.registers[position], truth.register_bounds[position]
    assert np.isfinite(truth.registers).all()
    written = list(row.targets)
    assert (np.abs(found[written] - new[written]) <= allowed[written]).all()
    rest = [register for register in range(case.form.registers) if register not in row.targets]
    np.testing.assert_array_equal(bits(found[rest]), bits(case.columns[rest]))
    check_taps(where, slot, case, truth)
    check_lanes(where, slot, case.asks, new, allowed)
    state = where.state(slot)
    assert state[ARRIVED] == state[STATUS] == 0


def check_taps(where, slot, case, truth):
    tapes = where.tapes[slot, :, :, : where.elements].cpu().numpy()
    pages = set(case.around.taps)
    for position, (tape, page) in enumerate(case.around.taps):
        distance = np.abs(tapes[tape, page] - truth.taps[position])
        assert (distance <= truth.tap_bounds[position]).all()
    for tape, page in np.ndindex(tapes.shape[:2]):
        assert (tape, page) in pages or (tapes[tape, page] == np.float32(POISON)).all()


def check_lanes(where, slot, asks, new, allowed):
    """Inputs are the new registers, scaled and rounded; lanes that nobody asks stay poison."""
    dtype = where.space.dtype
    inputs, count = where.lanes(slot), len(asks.sources)
    for lane, (source, scale) in enumerate(zip(asks.sources, asks.scales, strict=True)):
        wanted = scale * new[source]
        bound = HALF_ULP[dtype] * np.abs(wanted) + abs(scale) * allowed[source] + SMALLEST
        far = ~(np.abs(inputs[lane] - wanted) <= bound * (1 + 2.0**-8))
        assert not far.any()
    assert np.isnan(inputs[count:]).all()
    numbers = np.full((inputs.shape[0], 5), POISON, np.float32)
    numbers[:count, 0], numbers[:count, 1:] = asks.times, asks.scalars
    np.testing.assert_array_equal(where.times[slot].cpu(), numbers[:, 0])
    np.testing.assert_array_equal(where.scalars[slot].cpu(), numbers[:, 1:])


def simple(form, coefficients, *, targets=None, taps=(), operations=(NONE, NONE), products=()):
    """A row set from {row of the matrix: {column: coefficient}}."""
    matrix = np.zeros((form.rows, form.columns))
    for row, terms in coefficients.items():
        for column, coefficient in terms.items():
            matrix[row, column] = coefficient
    rows = sorted(row - form.register_row(0) for row in coefficients if row >= form.register_row(0))
    registers = tuple(row for row in rows if row < form.registers)
    return pack(
        matrix.astype(np.float32),
        form,
        operations=operations,
        registers=registers,
        targets=registers if targets is None else targets,
        products=products,
        taps=taps,
    )


def simple_case(form, row, *, elements=8, around=None, asks=None, weights=None):
    """A case of a plain row on random columns."""
    z = np.random.default_rng(0).standard_normal((form.columns, elements)).astype(np.float32)
    z[form.one] = 1
    around = around or Surroundings(pages=(PAGE,) * form.externals)
    return Case(row, around, asks or Surroundings(), z, weights, seed=1, image=0, purpose=0)
