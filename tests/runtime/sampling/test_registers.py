"""Which registers live, and where."""

import numpy as np
import pytest

from denoisert.kernels.step.form import Form
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.basis import Everywhere
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.packing import pack_rows
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.registers import kept_registers, liveness, placement
from denoisert.runtime.sampling.table import TableProduct
from tests.runtime.sampling.drafts import assemble, blank, random_fields
from tests.runtime.sampling.programs import angles, multistep

LAYOUT = StateLayout((Part("x", (3,)),))


def rows_of(form, *rows):
    """One row set whose registers read the given {column: coefficient}."""
    matrix = np.zeros((form.rows, form.columns))
    for register, coefficients in enumerate(rows):
        for column, value in coefficients.items():
            matrix[form.register_row(register), column] = value
    return matrix


def test_only_the_latent_lives_after_the_last_row():
    for seed in range(20):
        form, matrix, changes = random_fields(seed)
        live = liveness(matrix, changes["products"], form)
        assert live[-1] == 1
        assert (live & 1).all()
        assert (live < 1 << form.registers).all()


def test_a_register_lives_until_its_last_reader():
    form = Form(3)
    matrix = np.stack(
        [
            rows_of(form, {form.draw(0): 1}, {form.draw(1): 1}, {form.one: 1}),
            rows_of(form, {0: 1}, {1: 1}, {2: 1}),
            rows_of(form, {0: 1, 1: 0.5}, {}, {2: 1}),
            rows_of(form, {0: 1}, {1: 1}, {2: 1}),
        ]
    )
    none = ((),) * 4
    assert liveness(matrix, none, form).tolist() == [0b011, 0b011, 0b001, 0b001]


@pytest.mark.parametrize("reader", ["vector", "argument", "tap", "product"])
def test_every_kind_of_reader_keeps_a_register_alive(reader):
    form = Form(2, 1, 0, 1)
    matrix = blank(form, 1)
    rows = {"vector": form.vector_row(1), "argument": form.argument_row(0), "tap": form.tap_row(0)}
    products = ((), ())
    if reader == "product":
        products = ((), (TableProduct(0, 2.0, Everywhere(), 1),))
    else:
        matrix[1, rows[reader], 1] = 1.0
    assert liveness(matrix, products, form).tolist() == [0b11, 0b01]
    assert liveness(blank(form, 1), ((), ()), form).tolist() == [0b01, 0b01]


def test_a_product_into_a_dead_register_keeps_nothing_alive():
    form = Form(3)
    products = ((), (TableProduct(2, 2.0, Everywhere(), 1),))
    assert liveness(blank(form, 1), products, form).tolist() == [1, 1]


def test_only_an_exact_live_copy_is_kept():
    form = Form(4)
    row = rows_of(form, {0: 0.5}, {3: 1}, {1: 1}, {form.branch(0): 1})
    assert kept_registers(row, set(), 0b1111, form) == {1: 3, 2: 1}
    assert kept_registers(row, {2}, 0b1111, form) == {1: 3}
    assert kept_registers(row, set(), 0b0101, form) == {2: 1}
    twice = rows_of(form, {1: 1}, {1: 1}, {2: 1, 3: 1}, {2: -1})
    assert kept_registers(twice, set(), 0b1111, form) == {0: 1}


@pytest.mark.parametrize("seed", range(30))
def test_places_are_permutations_that_keep_every_copy(seed):
    form, matrix, changes = random_fields(seed)
    products = changes["products"]
    live = liveness(matrix, products, form)
    places = placement(matrix, products, live, form)
    np.testing.assert_array_equal(
        np.sort(places, axis=1), np.tile(np.arange(form.registers), (len(matrix), 1))
    )
    before = np.arange(form.registers)
    for row, after in enumerate(places):
        touched = {product.register for product in products[row]}
        for new, old in kept_registers(matrix[row], touched, int(live[row]), form).items():
            assert after[new] == before[old]
        before = after


@pytest.mark.parametrize("guidance", [Unguided(), CFG(3.0)])
def test_a_history_of_three_costs_two_writes_a_step(guidance):
    """K = 4 with the shift by renames: the new latent and the new estimate, nothing else."""
    table = fold(multistep(angles(12, first=1.2)), Parametrisation.EPS, guidance)
    written = [len(row.targets) for row in pack_rows(table, LAYOUT)]
    assert written == [1, *[2] * 11, 1]
    copies = np.tile(np.arange(4), (13, 1))
    form = table.form
    plain = assemble(form, table.matrix.copy(), renames=False, condition=table.condition.copy())
    np.testing.assert_array_equal(plain.rename, copies)
    assert [len(row.targets) for row in pack_rows(plain, LAYOUT)][4:9] == [4] * 5
