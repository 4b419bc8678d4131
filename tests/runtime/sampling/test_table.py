"""The table's own figures, its identity and what it refuses."""

import dataclasses

import numpy as np
import pytest

from denoisert.kernels.step.form import Form
from denoisert.runtime.errors import InvalidTable
from denoisert.runtime.sampling.basis import EstimateMap, Everywhere, ExternalMap
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.table import SamplerTable, TableProduct
from tests.runtime.sampling.drafts import ELEMENTS, LAYOUT, assemble, blank, draws, random_fields
from tests.runtime.sampling.programs import angles, ddim


def table_of(seed=0):
    form, matrix, changes = random_fields(seed)
    return assemble(form, matrix, **changes)


def test_figures_of_a_table():
    table = fold(ddim(angles(5), 1.0), Parametrisation.V, CFG((2.0, 1.0, 0.0, 1.0, 3.0)))
    assert table.stages == 5
    assert table.nfe == 7
    assert table.draw_base == (0, 1, 2, 3, 4, 5)
    assert table.draws.tolist() == [1, 1, 1, 1, 1, 0]
    assert repr(table) == "SamplerTable(stages=5, registers=1, branches=2, nfe=7)"


def test_arrays_cannot_be_written():
    table = table_of()
    for field in dataclasses.fields(table):
        value = getattr(table, field.name)
        if isinstance(value, np.ndarray) and value.size:
            with pytest.raises(ValueError, match="read-only"):
                value.reshape(-1)[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.alpha = None


def replacement(table, name):
    """Another value of one field."""
    value = getattr(table, name)
    if name == "form":
        return None
    if isinstance(value, np.ndarray):
        changed = value.copy()
        changed[np.unravel_index(np.flatnonzero(value == value)[-1], value.shape)] += 1
        return changed
    return {
        "products": (*table.products[:-1], (TableProduct(0, 1.25, Everywhere(), 0),)),
        "externals": tuple(f"other{e}" for e in range(table.form.externals)),
        "noise_source": (-1, 0),
    }[name]


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(SamplerTable) if f.compare])
def test_every_field_is_in_the_fingerprint(name):
    form = Form(2, 2, 1, 1)
    table = assemble(form, blank(form, 3), draws=np.ones(4, np.int64))
    assert (
        table.fingerprint == assemble(form, blank(form, 3), draws=np.ones(4, np.int64)).fingerprint
    )
    value = replacement(table, name)
    if value is None:
        other = assemble(Form(2, 1, 2, 1), blank(Form(2, 1, 2, 1), 3), draws=np.ones(4, np.int64))
    else:
        other = dataclasses.replace(table, **{name: value})
    assert other.fingerprint != table.fingerprint


def test_products_that_differ_in_their_map_alone_are_other_tables():
    form = Form(1, 1, 2)
    prints = {
        assemble(
            form,
            blank(form, 1),
            products=((), (TableProduct(0, 1.0, where, 0),)),
            operation=np.ones((2, 2), np.int64),
        ).fingerprint
        for where in (Everywhere(), ExternalMap(0), ExternalMap(1), EstimateMap(0), EstimateMap(1))
    }
    assert len(prints) == 5


@pytest.mark.parametrize("seed", range(8))
def test_amplification_is_the_worst_growth_of_one_rows_rounding(seed):
    """Kick each register after each row and follow the kick through the rest of the table."""
    rng = np.random.default_rng(seed)
    form, stages = Form(3), 4
    matrix = np.zeros((stages + 1, form.rows, form.columns))
    head = slice(form.register_row(0), form.tap_row(0))
    matrix[:, head] = rng.standard_normal((stages + 1, form.registers, form.columns))
    matrix[:, head, form.guided : form.draw(0)] = 0
    matrix[0, :, : form.guided] = 0
    table = assemble(form, matrix)

    def onward(row, kick):
        state = kick
        for later in range(row + 1, stages + 1):
            state = matrix[later, head, : form.registers] @ state
        return state[0]

    worst = max(
        sum(abs(onward(row, unit)) for unit in np.eye(3))
        * max(np.abs(matrix[row, form.register_row(i)]).sum() for i in range(3))
        for row in range(stages + 1)
    )
    assert table.amplification == pytest.approx(worst, rel=1e-12)


def test_amplification_sees_through_an_operation():
    form = Form(1)
    matrix = blank(form, 1)
    matrix[1, form.argument_row(0), [0, form.branch(0)]] = 3.0, -4.0
    matrix[1, form.register_row(0), [0, form.estimate(0)]] = 1.0, 2.0
    table = assemble(form, matrix, operation=np.array([[0, 0], [1, 0]]))
    np.testing.assert_array_equal(table.resolved(1)[0, [0, form.branch(0)]], [7.0, -8.0])
    assert table.amplification == 15.0


def test_amplification_counts_both_sides_of_a_blend():
    """x + mask (known - x): where the mask is 0 the old error stays, nothing cancels."""
    form = Form(1, 1, 2)
    matrix = blank(form, 2)
    matrix[1:, form.register_row(0), 0] = 1.0
    blend = (
        TableProduct(0, -1.0, ExternalMap(0), 0),
        TableProduct(0, 1.0, ExternalMap(0), form.external(1)),
    )
    for start, expected in ((10.0, 10.0), (0.5, 3.0)):
        gains = matrix.copy()
        gains[0, form.register_row(0), form.draw(0)] = start
        table = assemble(form, gains, products=((), blend, blend))
        assert table.amplification == expected


def test_float32_stays_within_four_roundings_of_the_amplification():
    """Network outputs held constant, as the promise says."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        form = Form(2)
        matrix = blank(form, 5)
        matrix[0, form.register_row(1), form.draw(1)] = 1.0
        head = slice(form.register_row(0), form.tap_row(0))
        matrix[1:, head, : form.guided] = rng.uniform(-1.5, 1.5, (5, 2, 3))
        table = assemble(form, matrix)
        noise = [np.clip(value, -1, 1).astype(np.float32) for value in draws(seed)]
        held = np.linspace(-1, 1, ELEMENTS, dtype=np.float32)
        run = execute(table, LAYOUT, lambda x, t, c, held=held: held.astype(x.dtype), noise)
        wide = [value.astype(np.float64) for value in noise]
        truth = execute(table, LAYOUT, lambda x, t, c, held=held: held.astype(x.dtype), wide)
        # Each of the six rows may add one rounding of a state of at most this size.
        size = max(1.0, np.abs(truth.latent).max())
        error = np.abs(run.latent - truth.latent).max()
        assert error <= 4 * 6e-8 * table.amplification * size


@pytest.mark.parametrize(
    ("form", "stages", "message"),
    [
        (Form(9), 1, "9 registers"),
        (Form(1, 17), 1, "17 branches"),
        (Form(1, 1, 17), 1, "17 externals"),
        (Form(1, 1, 0, 5), 1, "5 taps"),
    ],
)
def test_sizes_beyond_the_limits_are_refused(form, stages, message):
    with pytest.raises(InvalidTable, match=message):
        assemble(form, blank(form, stages))


def test_rows_beyond_the_limits_are_refused():
    form = Form(1)
    crowd = (TableProduct(0, 1.0, Everywhere(), 0),) * 17
    with pytest.raises(InvalidTable, match="17 products in a row"):
        assemble(form, blank(form, 1), products=((), crowd))
    with pytest.raises(InvalidTable, match="3 draws in a row"):
        assemble(form, blank(form, 1), draws=np.array([1, 3]))
    with pytest.raises(InvalidTable, match="shape"):
        dataclasses.replace(assemble(form, blank(form, 1)), matrix=np.zeros((2, 3, 4)))
    with pytest.raises(InvalidTable, match="prologue cannot evaluate"):
        assemble(form, blank(form, 1), condition=np.zeros((2, 1), np.int64))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_coefficients_must_be_finite(value):
    form = Form(1)
    matrix = blank(form, 2)
    matrix[2, form.register_row(0), 0] = value
    with pytest.raises(InvalidTable, match="row 2 has a coefficient that is not finite"):
        assemble(form, matrix)


FORM = Form(1, 2, 1)


@pytest.mark.parametrize(
    ("column", "changes", "message"),
    [
        (FORM.branch(1), {"condition": np.array([[-1, -1], [0, -1]])}, "reads branch 1"),
        (FORM.guided, {}, "reads G"),
        (FORM.estimate(0), {}, "reads D 0"),
        (FORM.estimate(1), {"operation": np.array([[0, 0], [1, 0]])}, "reads D 1"),
        (FORM.draw(0), {"draws": np.array([1, 0])}, "reads draw 0"),
        (FORM.draw(1), {"draws": np.array([1, 1])}, "reads draw 1"),
        (FORM.external(0), {"external_index": np.array([[0], [-1]])}, "reads external 0"),
    ],
)
@pytest.mark.parametrize("reader", ["register", "product"])
def test_what_a_row_reads_must_exist_there(reader, column, changes, message):
    matrix, products = blank(FORM, 1), ((), ())
    if reader == "register":
        matrix[1, FORM.register_row(0), column] = 0.5
    else:
        products = ((), (TableProduct(0, 0.5, Everywhere(), column),))
    with pytest.raises(InvalidTable, match=f"row 1 {message}, which does not exist there"):
        assemble(FORM, matrix, products=products, **changes)


def test_maps_and_recorded_noise_must_exist_too():
    pages = {"external_index": np.array([[0], [-1]])}
    for where, changes in ((EstimateMap(1), {}), (ExternalMap(0), pages)):
        products = ((), (TableProduct(0, 1.0, where, 0),))
        with pytest.raises(InvalidTable, match="does not exist there"):
            assemble(FORM, blank(FORM, 1), products=products, **changes)
    matrix = blank(FORM, 1)
    matrix[1, FORM.register_row(0), FORM.draw(0)] = 1.0
    assert assemble(FORM, matrix, noise_source=(0, -1)).stages == 1
    with pytest.raises(InvalidTable, match="row 1 reads draw 0"):
        assemble(FORM, matrix, noise_source=(0, -1), **pages)


def test_the_prologue_reads_no_register():
    matrix = blank(FORM, 1)
    matrix[0, FORM.register_row(0), 0] = 1.0
    with pytest.raises(InvalidTable, match="row 0 reads register 0"):
        assemble(FORM, matrix)


@pytest.mark.parametrize(
    ("row", "column", "name"),
    [
        (FORM.vector_row(1), FORM.guided, "G"),
        (FORM.vector_row(0), FORM.estimate(0), "D 0"),
        (FORM.argument_row(0), FORM.estimate(0), "D 0"),
        (FORM.argument_row(0), FORM.estimate(1), "D 1"),
        (FORM.argument_row(1), FORM.estimate(1), "D 1"),
    ],
)
def test_rows_are_evaluated_in_order(row, column, name):
    matrix = blank(FORM, 1)
    matrix[1, row, column] = 1.0
    ready = {"operation": np.array([[0, 0], [1, 1]]), "rule": np.array([0, 1])}
    with pytest.raises(InvalidTable, match=f"row 1 reads {name} before it is computed"):
        assemble(FORM, matrix, **ready)
