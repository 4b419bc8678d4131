"""What the device reads of a row set, by itself and by a plain evaluation of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denoisert.kernels.step import record as r
from denoisert.kernels.step import reference
from denoisert.kernels.step.encode import Surroundings, encode
from denoisert.kernels.step.form import VECTORS, Form
from denoisert.kernels.step.record import FORMS, Record
from denoisert.kernels.step.row import Operation, Product
from tests.kernels.step_check import simple
from tests.kernels.step_rows import random_case

SMALL, MIDDLE, LARGE = FORMS


def matrix_of(record, floats):
    return floats[: record.operation_args].reshape(record.outputs, record.form.columns)


def columns_of_mask(mask):
    return {column for column in range(63) if int(mask) >> column & 1}


def masks_of(record, integers):
    """The columns that each output row reads."""
    return [columns_of_mask(mask) for mask in integers[record.masks : record.products]]


def evaluate(record, integers, floats, z, weights, thresholds):
    """Registers and taps of a row as the record says, element by element and channel by channel."""
    form, matrix = record.form, matrix_of(record, floats).astype(np.float64)
    masks = masks_of(record, integers)
    share = np.repeat(weights, z.shape[1] // len(weights), axis=0).T  # g_m of every element

    def total(row):
        found = np.zeros(z.shape[1])
        for column in sorted(masks[row]):
            coefficient = matrix[row, column] + matrix[row, form.guided] * (
                matrix[:VECTORS, column] @ share
            )
            found += coefficient * z[column]
        return found

    g = total(record.outputs - 1)
    for order in range(2):
        code = Operation(int(integers[r.OPERATIONS + order]))
        a, b = floats[record.operation_args + 2 * order :][:2].astype(np.float64)
        u = total(form.argument_row(order))
        z[form.estimate(order)] = reference.operate(u, (code, a, b), thresholds[order])
    new = np.array([total(form.register_row(k)) for k in range(form.registers)])
    taps = np.array([total(form.tap_row(t)) for t in range(form.taps)])
    z[form.guided] = g  # for products alone: sums have it through the vectors
    for p in range(integers[r.PRODUCTS]):
        register, column, source, first, last = integers[record.products + 5 * p :][:5]
        value = floats[record.gains + p] * z[source, first:last].astype(np.float64)
        new[register, first:last] += value * (z[column, first:last] if column >= 0 else 1.0)
    return new, taps


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1 << 32),
    form=st.sampled_from(FORMS),
    channels=st.sampled_from([1, 3]),
    elements=st.integers(1, 5),
)
def test_the_record_says_what_the_row_says(seed, form, channels, elements):
    case = random_case(seed, form, 3 * elements, channels=channels)
    record = Record(form)
    integers, floats = encode(record, case.row, case.around)
    columns = np.where(np.isnan(case.columns), 0, case.columns).astype(np.float64)
    weights = np.zeros((channels, VECTORS))
    if case.weights is not None:
        weights[:, : case.weights.shape[1]] = case.weights
    wanted = reference.step(
        columns,
        case.row,
        weights=None if case.weights is None else case.weights.astype(np.float64),
        thresholds=case.thresholds,
    )
    with np.errstate(all="ignore"):  # operations of rows that nobody reads
        found = evaluate(record, integers, floats, columns.copy(), weights, case.thresholds)
    np.testing.assert_allclose(found[0][list(case.row.targets)], wanted[0], rtol=1e-12, atol=1e-12)
    tapes = [tape for tape, _ in case.around.taps]
    np.testing.assert_allclose(found[1][tapes], wanted[1], rtol=1e-12, atol=1e-12)
    assert integers[r.STORED] == sum(1 << target for target in case.row.targets)
    assert integers[r.TAPPED] == sum(1 << tape for tape in tapes)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 32), form=st.sampled_from(FORMS))
def test_the_record_says_what_surrounds_the_row(seed, form):
    case = random_case(seed, form, 3)
    record, around = Record(form), case.around
    integers, floats = encode(record, case.row, around)
    assert integers.dtype == np.int64
    assert floats.dtype == np.float32
    assert (len(integers), len(floats)) == (record.integers, record.floats)
    count = len(around.sources)
    assert integers[r.ASKS] == count
    assert tuple(integers[record.sources :][:count]) == around.sources
    assert tuple(floats[record.scales :][:count]) == around.scales
    assert tuple(floats[record.times :][:count]) == around.times
    assert tuple(map(tuple, floats[record.scalars :][: 4 * count].reshape(-1, 4))) == around.scalars
    assert tuple(integers[record.pages :][: form.externals]) == around.pages
    assert tuple(integers[record.recorded :][:4]) == tuple(np.ravel(around.recorded))
    assert [integers[record.tap_pages + tape] for tape, _ in around.taps] == [
        page for _, page in around.taps
    ]
    assert integers[r.DRAW_BASE] == around.draw_base
    assert (integers[r.RULE], integers[r.RULE_VECTORS]) == around.rule
    assert (integers[r.PENDING], integers[r.FOLLOWED]) == (around.pending, around.is_followed)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 32), form=st.sampled_from(FORMS))
def test_masks_name_what_the_row_reads_and_no_more(seed, form):
    """Registers and taps that nobody wants read nothing; D and G only where they are made."""
    case = random_case(seed, form, 3)
    record = Record(form)
    masks = masks_of(record, encode(record, case.row, case.around)[0])
    kept = {*case.row.targets, *case.around.needed, case.around.pending}
    for register in range(form.registers):
        assert bool(masks[form.register_row(register)]) <= (register in kept)
    tapes = {tape for tape, _ in case.around.taps}
    for tape in range(form.taps):
        assert bool(masks[form.tap_row(tape)]) <= (tape in tapes)
    estimates = {form.estimate(0), form.estimate(1)}
    made = set().union(*masks[: form.register_row(0)])
    assert set().union(*masks) - {form.guided} - estimates <= case.read()
    assert form.estimate(1) not in made


def test_a_guided_row_reads_what_the_vectors_read():
    rows = {0: {0: 1.0, MIDDLE.branch(0): 2.0}, 1: {MIDDLE.branch(1): 1.0}}
    rows[MIDDLE.register_row(2)] = {1: 1.0, MIDDLE.guided: 0.5}
    rows[MIDDLE.register_row(3)] = {1: 1.0}
    record, row = Record(MIDDLE), simple(MIDDLE, rows)
    masks = masks_of(record, encode(record, row, Surroundings(rule=(1, 2), pending=2))[0])
    vectors = {0, MIDDLE.branch(0), MIDDLE.branch(1)}
    assert masks[MIDDLE.register_row(2)] == {1, MIDDLE.guided} | vectors
    assert masks[MIDDLE.register_row(3)] == {1}
    assert masks[-1] == set()


@pytest.mark.parametrize(("column", "source"), [(-1, MIDDLE.guided), (MIDDLE.guided, 0)])
def test_g_itself_is_made_where_a_product_reads_it(column, source):
    rows = {0: {0: 1.0}, 1: {MIDDLE.branch(1): 1.0}, MIDDLE.register_row(0): {0: 1.0}}
    products = (Product(0, 1.0, column, source, 0, 4),)
    record, row = Record(MIDDLE), simple(MIDDLE, rows, products=products)
    integers, floats = encode(record, row, Surroundings(rule=(1, 2)))
    assert masks_of(record, integers)[-1] == {0, MIDDLE.branch(1)}
    last = matrix_of(record, floats)[-1]
    assert last[MIDDLE.guided] == 1
    assert np.count_nonzero(last) == 1


def test_registers_that_the_next_row_needs_pass_through():
    """Register 3 is written, 1 needed as it is, 2 pending as it is, 0 of no interest."""
    row = simple(SMALL, {SMALL.register_row(0): {1: 2.0}}, targets=(3,))
    record = Record(SMALL)
    around = Surroundings(needed=(1, 3), pending=2)
    integers, floats = encode(record, row, around)
    registers = masks_of(record, integers)[SMALL.register_row(0) : SMALL.tap_row(0)]
    assert registers == [set(), {1}, {2}, {1}]
    matrix = matrix_of(record, floats)[SMALL.register_row(0) : SMALL.tap_row(0), :4]
    wanted = [[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 2, 0, 0]]
    np.testing.assert_array_equal(matrix, wanted)
    assert integers[r.STORED] == 0b1000


def test_products_name_physical_registers():
    """A product's register is a position among the written ones; the device knows no positions."""
    rows = {MIDDLE.register_row(0): {0: 1.0}, MIDDLE.register_row(1): {1: 1.0}}
    product = Product(1, 0.25, MIDDLE.external(2), MIDDLE.one, 5, 9)
    row = simple(MIDDLE, rows, targets=(3, 2), products=(product,))
    record = Record(MIDDLE)
    integers, floats = encode(record, row, Surroundings())
    assert integers[r.PRODUCTS] == 1
    assert tuple(integers[record.products :][:5]) == (2, MIDDLE.external(2), MIDDLE.one, 5, 9)
    assert floats[record.gains] == 0.25


def test_unread_pages_are_marked():
    record = Record(MIDDLE)
    row = simple(MIDDLE, {MIDDLE.register_row(0): {0: 1.0}})
    integers, _ = encode(record, row, Surroundings(pages=(7,)))
    assert tuple(integers[record.pages :][:4]) == (7, -1, -1, -1)
    assert tuple(integers[record.recorded :][:4]) == (-1, -1, -1, -1)


def test_a_row_of_another_form_is_refused():
    row = simple(Form(2, 1), {Form(2, 1).register_row(0): {0: 1.0}})
    with pytest.raises(ValueError, match="pack it for the space"):
        encode(Record(SMALL), row, Surroundings())


def test_operations_and_products_are_refused_where_kernels_do_not_know_them():
    operations = ((Operation.CLIP, -1.0, 1.0), (Operation.NONE, 0.0, 0.0))
    rows = {SMALL.argument_row(0): {0: 1.0}, SMALL.register_row(0): {0: 1.0}}
    with pytest.raises(ValueError, match="need externals in the space"):
        encode(Record(SMALL), simple(SMALL, rows, operations=operations), Surroundings())
    product = (Product(0, 1.0, -1, 0, 0, 4),)
    row = simple(SMALL, {SMALL.register_row(0): {0: 1.0}}, products=product)
    with pytest.raises(ValueError, match="need externals in the space"):
        encode(Record(SMALL), row, Surroundings())


@pytest.mark.parametrize("form", FORMS)
def test_masks_have_room_for_every_column(form):
    assert form.columns <= 63
    assert form.registers <= 31  # bits of STORED
    assert Record(form).floats < 1 << 15


@pytest.mark.parametrize("name", ["masks", "pages", "floats", "has_operations", "is_wide"])
def test_moving_a_position_changes_the_text_of_the_record(name):
    """Triton finds a compiled kernel on disk by it: an old kernel must not read a new layout."""
    moved = type("Moved", (Record,), {name: property(lambda _: 99)})
    assert repr(moved(SMALL)) != repr(Record(SMALL))
    assert len({repr(Record(form)) for form in FORMS}) == len(FORMS)
