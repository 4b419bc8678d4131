"""Tables in the physical columns of a pool."""

import numpy as np
import pytest

from denoisert.kernels.gram import reference as gram
from denoisert.kernels.rule import RULES
from denoisert.kernels.step import cpu
from denoisert.kernels.step.form import Form
from denoisert.runtime.errors import InvalidTable
from denoisert.runtime.sampling.basis import EstimateMap, Everywhere, ExternalMap, RangeMap
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.packing import pack_rows
from denoisert.runtime.sampling.table import TableProduct
from tests.runtime.sampling.drafts import (
    ELEMENTS,
    LAYOUT,
    assemble,
    blank,
    buffers,
    draws,
    network,
    random_fields,
)

POOL = Form(8, 6, 5, 4)


def pooled(table, noise, externals):
    """A table in a pool of more registers, branches, externals and taps, by the CPU kernel."""
    form, memory = POOL, cpu.workspace(POOL, ELEMENTS, np.float64)
    z = np.full((form.columns, ELEMENTS), np.nan)
    place = np.arange(table.form.registers)
    for index, row in enumerate(pack_rows(table, LAYOUT, POOL)):
        z[form.registers :] = np.nan
        z[form.one] = 1
        for e, name in enumerate(table.externals):
            z[form.external(e)] = externals[name][table.external_index[index, e]]
        for q in range(int(table.draws[index])):
            z[form.draw(q)] = noise[table.draw_base[index] + q]
        for b in np.flatnonzero(table.condition[index] >= 0):
            latent = table.input_scale[index, b] * z[place[0]]
            time, condition = table.model_time[index, b], int(table.condition[index, b])
            z[form.branch(int(b))] = network(latent, time, condition)
        weights, program = None, RULES[table.rule[index]]
        if program is not None:
            vectors = cpu.combine(z, row.vectors, out=memory.vectors[:2], workspace=memory)
            products, sums = gram.gram(vectors)
            weights = program(products, sums, ELEMENTS, table.rule_args[index], np.zeros((1, 4)))
        written, _ = cpu.step(z, row, weights=weights, workspace=memory)
        for target, value in zip(row.targets, written, strict=True):
            z[target] = value
        place = table.rename[index]
    return z[place[0]]


@pytest.mark.parametrize("seed", range(30))
def test_a_larger_pool_and_the_cpu_kernel_change_nothing(seed):
    form, matrix, changes = random_fields(seed)
    quantiles = changes["operation"] == 2
    changes["operation"][quantiles] = 1
    changes["operation_args"][quantiles] = -0.3, 0.9
    table = assemble(form, matrix, **changes)
    noise, externals = draws(seed), buffers(seed, table)
    truth = execute(table, LAYOUT, network, noise, externals).latent
    found = pooled(table, noise, externals)
    np.testing.assert_allclose(found, truth, rtol=0, atol=1e-12 * max(1, np.abs(truth).max()))


@pytest.mark.parametrize("field", range(4))
def test_a_pool_too_small_in_any_size_is_refused(field):
    form = Form(2, 2, 1, 1)
    table = assemble(form, blank(form, 1))
    small = form._replace(**{form._fields[field]: form[field] - 1})
    with pytest.raises(InvalidTable, match="does not fit a pool"):
        pack_rows(table, LAYOUT, small)


def packed(where, *, form=None, source=0):
    """The packed product of a table whose only stage has one."""
    form = form or Form(1, 1, 2)
    product = TableProduct(0, 0.5, where, source)
    operation = np.array([[0, 0], [1, 1]])
    table = assemble(form, blank(form, 1), products=((), (product,)), operation=operation)
    return pack_rows(table, LAYOUT, POOL)[1].products[0]


@pytest.mark.parametrize(
    ("where", "column", "first", "last"),
    [
        (Everywhere(), -1, 0, 20),
        (ExternalMap(1), POOL.external(1), 0, 20),
        (EstimateMap(0), POOL.estimate(0), 0, 20),
        (EstimateMap(1), POOL.estimate(1), 0, 20),
        (RangeMap(0), -1, 0, 12),
        (RangeMap(1), -1, 12, 20),
        (RangeMap(0, 1), -1, 4, 12),
        (RangeMap(0, 1, 1), -1, 4, 8),
        (RangeMap(1, 1, 1), -1, 16, 20),
    ],
)
def test_maps_become_a_column_and_a_range(where, column, first, last):
    found = packed(where)
    assert (found.column, found.first, found.last) == (column, first, last)
    assert (found.register, found.gain, found.source) == (0, 0.5, 0)


def test_sources_move_to_the_pools_columns():
    form = Form(1, 1, 2)
    for name, index in (("branch", 0), ("estimate", 1), ("draw", 1), ("external", 1)):
        source = getattr(form, name)(index)
        assert packed(Everywhere(), source=source).source == getattr(POOL, name)(index)
    assert packed(Everywhere(), source=form.one).source == POOL.one


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (RangeMap(2), "part 2 of a state of 2"),
        (RangeMap(-1), "part -1"),
        (RangeMap(0, 1, 3), "channels 1 to 3 of part 'image', which has 3"),
        (RangeMap(0, -1, 1), "channels -1"),
        (RangeMap(1, 2), "channels 2 to 1"),
    ],
)
def test_ranges_outside_the_layout_are_refused(where, message):
    with pytest.raises(InvalidTable, match=message):
        packed(where)


def test_dead_registers_and_silent_taps_are_not_computed():
    form = Form(3, 1, 0, 2)
    matrix = blank(form, 2)
    matrix[:, form.register_row(2), form.draw(0)] = 1.0  # nobody reads R_2
    matrix[1:, form.register_row(0), form.branch(0)] = 1.0
    matrix[1:, form.tap_row(1), 0] = 1.0
    dead = TableProduct(2, 1.0, Everywhere(), 0)
    table = assemble(
        form,
        matrix,
        products=((), (dead,), ()),
        tap_index=np.array([[-1, -1], [-1, 3], [-1, -1]]),
    )
    rows = pack_rows(table, LAYOUT)
    assert [len(row.targets) for row in rows] == [1, 1, 1]
    assert [row.products for row in rows] == [(), (), ()]
    assert [row.taps is None for row in rows] == [True, False, True]
