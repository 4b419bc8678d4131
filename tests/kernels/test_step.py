"""One row set on one slot: the CPU kernel against the specification, and that by itself."""

import tracemalloc

import numpy as np
import pytest

from denoisert.kernels.step import cpu, reference
from denoisert.kernels.step.form import ARGUMENTS, VECTORS, Form
from denoisert.kernels.step.row import Operation, Product, Terms, pack

NONE = (Operation.NONE, 0.0, 0.0)
OPERATIONS = [
    (Operation.CLIP, -0.8, 0.6),
    (Operation.DYNAMIC_THRESHOLD, 0.9, 2.0),
    (Operation.REFLECT, -0.7, 0.9),
    (Operation.EXP_HALF, 0.0, 0.0),
]
THRESHOLDS = (1.3, 0.4)
FORMS = [Form(1), Form(2, 2, 1, 1), Form(4, 3, 3, 2), Form(8, 16, 16, 4)]
ELEMENTS = 24


def sparse(rng, form):
    """A random dense row set; about half of its terms are absent, none reads what comes later."""
    matrix = rng.standard_normal((form.rows, form.columns)) / form.columns
    matrix[rng.random(matrix.shape) < 0.5] = 0
    for row in range(VECTORS + ARGUMENTS):
        matrix[row, form.guided if row < VECTORS else form.estimate(0) : form.draw(0)] = 0
    matrix[form.argument_row(1), form.estimate(0)] = 0.5
    return matrix


def random_products(rng, form, registers):
    """One product of every kind: 1, an external, an estimate, on all or on some elements."""
    maps = [-1, 0, form.estimate(0), form.estimate(1)]
    maps += [form.external(e) for e in range(form.externals)]
    return tuple(
        Product(int(rng.integers(registers)), float(rng.standard_normal()), column, source, *span)
        for column in maps
        for source, span in [(0, (0, ELEMENTS)), (form.branch(0), (5, 17)), (form.one, (3, 4))]
    )


def random_row(rng, form, *, products=True):
    """A packed row set with two operations, its targets shuffled."""
    registers = tuple(range(form.registers))
    return pack(
        sparse(rng, form),
        form,
        operations=(OPERATIONS[rng.integers(4)], OPERATIONS[rng.integers(4)]),
        registers=registers,
        targets=tuple(int(i) for i in rng.permutation(form.registers)),
        products=random_products(rng, form, form.registers) if products else (),
        taps=tuple(range(form.taps)),
    )


def cast(row, dtype):
    """The same row set with coefficients of another float type."""

    def one(found):
        return found and Terms(found[0], found[1].astype(dtype))

    return row._replace(
        vectors=one(row.vectors),
        arguments=tuple(one(each) for each in row.arguments),
        registers=one(row.registers),
        taps=one(row.taps),
    )


def columns_of(rng, form, dtype=np.float64, elements=ELEMENTS):
    columns = rng.standard_normal((form.columns, elements))
    columns[form.one] = 1
    return columns.astype(dtype)


def used_columns(row):
    """Every column that the row set reads and does not compute itself."""
    found = [each[0] for each in (row.vectors, *row.arguments, row.registers, row.taps) if each]
    found += [[p.source for p in row.products], [p.column for p in row.products if p.column >= 0]]
    computed = {row.form.guided, row.form.estimate(0), row.form.estimate(1)}
    return {int(column) for part in found for column in part} - computed


def weights_of(rng, row, channels):
    return None if row.vectors is None else rng.standard_normal((channels, len(row.vectors[1])))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", FORMS)
# float64: sums of at most 48 terms of size 1 in another order. float32: the same, 6e-8 each.
@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, 1e-13), (np.float32, 1e-5)])
def test_cpu_equals_reference(form, channels, dtype, bound):
    for seed in range(4):
        rng = np.random.default_rng([seed, form.registers, channels])
        row = random_row(rng, form)
        columns, weights = columns_of(rng, form), weights_of(rng, row, channels)
        truth = reference.step(columns, row, weights=weights, thresholds=THRESHOLDS)
        memory = cpu.workspace(form, ELEMENTS, dtype)
        for scratch in memory:
            scratch.fill(np.nan)
        found = cpu.step(
            columns.astype(dtype),
            cast(row, dtype),
            weights=weights,
            thresholds=THRESHOLDS,
            workspace=memory,
        )
        for one, other in zip(found, truth, strict=True):
            assert one.dtype == dtype
            assert one.shape == other.shape
            scale = max(1.0, np.abs(other).max(initial=0))
            assert np.abs(one - other).max(initial=0) <= bound * scale


@pytest.mark.parametrize("form", FORMS)
def test_reference_evaluates_the_formula_of_its_docstring(form):
    rng = np.random.default_rng(form.columns)
    matrix, z = sparse(rng, form), columns_of(rng, form)
    operations = (OPERATIONS[0], OPERATIONS[3])
    row = pack(
        matrix,
        form,
        operations=operations,
        registers=tuple(range(form.registers)),
        targets=tuple(range(form.registers)),
        products=random_products(rng, form, form.registers),
        taps=tuple(range(form.taps)),
    )
    weights = rng.standard_normal((3, len(row.vectors.coefficients)))
    found = reference.step(z, row, weights=weights)

    vectors = (matrix[: weights.shape[1]] @ z).reshape(-1, 3, ELEMENTS // 3)
    z[form.guided] = sum(weights[:, m, None] * vectors[m] for m in range(len(vectors))).ravel()
    z[form.estimate(0)] = np.minimum(np.maximum(matrix[form.argument_row(0)] @ z, -0.8), 0.6)
    z[form.estimate(1)] = np.sqrt(np.exp(matrix[form.argument_row(1)] @ z))
    expected = matrix[form.register_row(0) : form.tap_row(0)] @ z
    for register, gain, column, source, first, last in row.products:
        indicator = np.zeros(ELEMENTS)
        indicator[first:last] = 1
        expected[register] += gain * indicator * z[source] * (z[column] if column >= 0 else 1)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[1], matrix[form.tap_row(0) :] @ z, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_absent_columns_never_leak(form):
    rng = np.random.default_rng(3)
    row = random_row(rng, form)
    columns, weights = columns_of(rng, form), weights_of(rng, row, 1)
    poisoned = np.full_like(columns, np.nan)
    kept = sorted(used_columns(row))
    poisoned[kept] = columns[kept]
    assert len(kept) < form.columns
    memory = cpu.workspace(form, ELEMENTS, np.float64)
    for run in (
        lambda z: reference.step(z, row, weights=weights, thresholds=THRESHOLDS),
        lambda z: cpu.step(z, row, weights=weights, thresholds=THRESHOLDS, workspace=memory),
    ):
        clean = [part.copy() for part in run(columns.copy())]
        for one, other in zip(run(poisoned.copy()), clean, strict=True):
            np.testing.assert_array_equal(one, other)


def test_absent_terms_of_one_register_never_leak_into_it():
    form = Form(2, 1)
    matrix = np.zeros((form.rows, form.columns))
    matrix[form.register_row(0), 0] = 2.0
    row = pack(matrix, form, operations=(NONE, NONE), registers=(0,), targets=(1,))
    z = np.full((form.columns, 5), np.nan)
    z[0] = np.arange(5)
    found, taps = cpu.step(z, row, workspace=cpu.workspace(form, 5, np.float64))
    np.testing.assert_array_equal(found, 2.0 * np.arange(5)[None])
    assert taps.shape == (0, 5)


@pytest.mark.parametrize("form", FORMS)
def test_permuting_columns_permutes_nothing_else(form):
    rng = np.random.default_rng(11)
    matrix, z = sparse(rng, form), columns_of(rng, form)
    matrix[: form.register_row(0)] = 0
    order = np.arange(form.columns)
    order[: form.guided] = rng.permutation(form.guided)
    operations, registers = (NONE, NONE), tuple(range(form.registers))

    def run(coefficients, columns):
        row = pack(
            coefficients, form, operations=operations, registers=registers, targets=registers
        )
        memory = cpu.workspace(form, ELEMENTS, np.float64)
        return cpu.step(columns, row, workspace=memory)[0].copy()

    moved, where = np.empty_like(matrix), np.empty_like(z)
    moved[:, order], where[order] = matrix, z
    np.testing.assert_allclose(run(moved, where), run(matrix, z), rtol=0, atol=1e-14)


def test_rows_read_the_old_registers_only():
    form = Form(2, 1)
    matrix = np.zeros((form.rows, form.columns))
    matrix[form.register_row(0), 1] = matrix[form.register_row(1), 0] = 1.0
    row = pack(matrix, form, operations=(NONE, NONE), registers=(0, 1), targets=(0, 1))
    z = columns_of(np.random.default_rng(0), form)
    before = z.copy()
    swapped, _ = cpu.step(z, row, workspace=cpu.workspace(form, ELEMENTS, np.float64))
    np.testing.assert_array_equal(swapped, before[[1, 0]])
    np.testing.assert_array_equal(z[:2], before[:2])


def test_second_estimate_may_read_the_first():
    form = Form(1)
    matrix = np.zeros((form.rows, form.columns))
    matrix[form.argument_row(0), 0] = 3.0
    matrix[form.argument_row(1), [form.estimate(0), form.one]] = 2.0, 0.5
    matrix[form.register_row(0), form.estimate(1)] = 1.0
    operations = ((Operation.CLIP, -1.0, 1.0), (Operation.CLIP, -9.0, 1.25))
    row = pack(matrix, form, operations=operations, registers=(0,), targets=(0,))
    z = columns_of(np.random.default_rng(0), form)
    expected = np.minimum(2 * np.clip(3 * z[0], -1, 1) + 0.5, 1.25)
    np.testing.assert_allclose(reference.step(z, row)[0][0], expected, rtol=1e-15)
    memory = cpu.workspace(form, ELEMENTS, np.float64)
    np.testing.assert_allclose(cpu.step(z, row, workspace=memory)[0][0], expected, rtol=1e-15)


def test_a_row_of_products_alone_starts_from_zero():
    form = Form(2, 1)
    matrix = np.zeros((form.rows, form.columns))
    row = pack(
        matrix,
        form,
        operations=(NONE, NONE),
        registers=(0, 1),
        targets=(0, 1),
        products=(Product(1, 2.0, -1, 0, 4, 9), Product(1, 0.5, form.branch(0), 0, 8, 10)),
    )
    z = columns_of(np.random.default_rng(5), form)
    expected = np.zeros((2, ELEMENTS))
    expected[1, 4:9] += 2 * z[0, 4:9]
    expected[1, 8:10] += 0.5 * z[form.branch(0), 8:10] * z[0, 8:10]
    memory = cpu.workspace(form, ELEMENTS, np.float64)
    memory.registers.fill(np.nan)
    np.testing.assert_array_equal(reference.step(z, row)[0], expected)
    np.testing.assert_array_equal(cpu.step(z, row, workspace=memory)[0], expected)


def test_cpu_step_allocates_less_than_one_latent():
    form, elements = Form(4, 2, 2, 1), 1 << 18
    rng = np.random.default_rng(2)
    row = pack(
        sparse(rng, form),
        form,
        operations=(OPERATIONS[1], OPERATIONS[2]),
        registers=(0, 1, 2, 3),
        targets=(0, 1, 2, 3),
        products=(Product(0, 0.3, form.external(0), 0, 0, elements),),
        taps=(0,),
    )
    row, columns = cast(row, np.float32), columns_of(rng, form, np.float32, elements)
    memory, weights = cpu.workspace(form, elements), weights_of(rng, row, 4)
    cpu.step(columns, row, weights=weights, thresholds=THRESHOLDS, workspace=memory)
    tracemalloc.start()
    try:
        cpu.step(columns, row, weights=weights, thresholds=THRESHOLDS, workspace=memory)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < columns[0].nbytes / 8
