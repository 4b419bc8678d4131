"""Tables through `execute`, against their literal reading and against plain loops."""

import dataclasses

import numpy as np
import pytest

from denoisert.kernels.step.form import Form
from denoisert.runtime.sampling.basis import EstimateMap, ExternalMap
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.table import TableProduct
from tests.runtime.sampling.drafts import (
    ELEMENTS,
    LAYOUT,
    assemble,
    blank,
    buffers,
    draws,
    literal,
    network,
    random_fields,
)


@pytest.mark.parametrize("seed", range(60))
def test_random_tables_mean_what_the_design_says(seed):
    form, matrix, changes = random_fields(seed)
    table = assemble(form, matrix, **changes)
    noise, externals = draws(seed), buffers(seed, table)
    run = execute(table, LAYOUT, network, noise, externals)
    latent, tapes = literal(table, network, noise, externals)
    bound = 1e-12 * max(1.0, np.abs(latent).max())
    assert np.isfinite(latent).all()
    assert np.abs(run.latent - latent).max() <= bound
    assert [sorted(tape) for tape in run.tapes] == [sorted(tape) for tape in tapes]
    for found, expected in zip(run.tapes, tapes, strict=True):
        for page, value in expected.items():
            assert np.abs(found[page] - value).max() <= 1e-12 * max(1.0, np.abs(value).max())
    assert run.evaluations == table.nfe


@pytest.mark.parametrize("seed", range(60))
def test_renames_change_nothing_but_the_order_of_sums(seed):
    form, matrix, changes = random_fields(seed)
    renamed = assemble(form, matrix, **changes)
    copied = assemble(form, matrix, renames=False, **changes)
    noise, externals = draws(seed), buffers(seed, renamed)
    one = execute(renamed, LAYOUT, network, noise, externals)
    other = execute(copied, LAYOUT, network, noise, externals)
    np.testing.assert_allclose(one.latent, other.latent, rtol=0, atol=1e-12)
    for found, expected in zip(one.tapes, other.tapes, strict=True):
        for page, value in expected.items():
            np.testing.assert_allclose(found[page], value, rtol=0, atol=1e-12)


def test_the_random_tables_use_what_they_should():
    tables = []
    for seed in range(60):
        form, matrix, changes = random_fields(seed)
        tables.append(assemble(form, matrix, **changes))
    moved = [table for table in tables if (np.diff(table.rename, axis=0) != 0).any()]
    assert len(moved) > 15
    assert any((table.condition[1:] < 0).any() for table in tables)
    assert any(table.rule.any() for table in tables)
    assert {int(code) for table in tables for code in table.operation.flat} == {1, 2, 3, 4}
    kinds = {type(p.map) for table in tables for row in table.products for p in row}
    assert len(kinds) == 4


def test_float32_runs_in_float32():
    form, matrix, changes = random_fields(7)
    table = assemble(form, matrix, **changes)
    noise = [value.astype(np.float32) for value in draws(7)]
    run = execute(table, LAYOUT, network, noise, buffers(7, table))
    truth, _ = literal(table, network, draws(7), buffers(7, table))
    assert run.latent.dtype == np.float32
    assert 0 < np.abs(run.latent - truth).max() < 1e-4


def test_noise_that_becomes_the_next_state_is_reflected_with_it():
    form = Form(1)
    matrix = blank(form, 3)
    matrix[1:, form.argument_row(0), [0, form.branch(0), form.draw(0)]] = 0.5, 0.8, 0.6
    matrix[1:, form.register_row(0), form.estimate(0)] = 1.0
    table = assemble(
        form,
        matrix,
        operation=np.array([[0, 0], [3, 0], [3, 0], [3, 0]]),
        operation_args=np.tile([-0.7, 0.7], (4, 2, 1)),
        draws=np.ones(4, np.int64),
    )
    noise = draws(1)
    x = noise[0]
    for step in range(1, 4):
        x = 0.5 * x + 0.8 * network(x, 100.0 * step, 0) + 0.6 * noise[step]
        x = np.where(x > 0.7, 1.4 - x, x)
        x = np.where(x < -0.7, -1.4 - x, x)
        x = np.where(x > 0.7, 1.4 - x, x)
    run = execute(table, LAYOUT, network, noise)
    np.testing.assert_allclose(run.latent, x, rtol=0, atol=1e-14)
    assert np.abs(run.latent).max() <= 0.7


def test_second_operation_reads_the_first():
    form = Form(1)
    matrix = blank(form, 1)
    matrix[1, form.argument_row(0), form.branch(0)] = 2.0
    matrix[1, form.argument_row(1), [0, form.estimate(0)]] = 1.0, -1.0
    matrix[1, form.register_row(0), form.estimate(1)] = 1.0
    table = assemble(
        form,
        matrix,
        operation=np.array([[0, 0], [1, 4]]),
        operation_args=np.tile([-0.5, 0.5], (2, 2, 1)),
    )
    x = draws(2)[0]
    expected = np.exp((x - np.clip(2 * network(x, 100.0, 0), -0.5, 0.5)) / 2)
    run = execute(table, LAYOUT, network, draws(2))
    np.testing.assert_allclose(run.latent, expected, rtol=1e-14)


def test_learned_variance_scales_fresh_noise_element_by_element():
    """Branch 1 is a second port: exp(log variance / 2), interpolated, times the noise."""
    form = Form(1, 2)
    matrix = blank(form, 2)
    matrix[1:, form.argument_row(0), [form.branch(1), form.one]] = 0.9, -1.5
    matrix[1:, form.register_row(0), [0, form.branch(0)]] = 0.7, 0.3
    draw = TableProduct(0, 1.0, EstimateMap(0), form.draw(0))
    table = assemble(
        form,
        matrix,
        operation=np.array([[0, 0], [4, 0], [4, 0]]),
        products=((), (draw,), (draw,)),
        draws=np.ones(3, np.int64),
    )
    noise = draws(3)
    x = noise[0]
    for step in (1, 2):
        spread = np.exp(0.5 * (0.9 * network(x, 100.0 * step, 1) - 1.5))
        x = 0.7 * x + 0.3 * network(x, 100.0 * step, 0) + spread * noise[step]
    run = execute(table, LAYOUT, network, noise)
    np.testing.assert_allclose(run.latent, x, rtol=0, atol=1e-14)


def test_inpainting_blends_pages_of_an_external_by_a_mask():
    form = Form(1, 1, 2)
    matrix = blank(form, 3)
    matrix[1:, form.register_row(0), [0, form.branch(0)]] = 0.6, 0.5
    blend = (
        TableProduct(0, -0.6, ExternalMap(0), 0),
        TableProduct(0, -0.5, ExternalMap(0), form.branch(0)),
        TableProduct(0, 1.0, ExternalMap(0), form.external(1)),
    )
    table = assemble(
        form,
        matrix,
        products=((), blend, blend, blend),
        externals=("mask", "known"),
        external_index=np.array([[-1, -1], [0, 0], [0, 1], [0, 2]]),
    )
    rng = np.random.default_rng(4)
    known, noise = rng.standard_normal((3, ELEMENTS)), draws(4)
    for mask in (np.zeros(ELEMENTS), np.ones(ELEMENTS), rng.random(ELEMENTS)):
        x = noise[0]
        for step in range(3):
            free = 0.6 * x + 0.5 * network(x, 100.0 * (step + 1), 0)
            x = free + mask * (known[step] - free)
        run = execute(table, LAYOUT, network, noise, {"mask": mask, "known": known})
        np.testing.assert_allclose(run.latent, x, rtol=0, atol=1e-14)


def test_recorded_noise_equals_injected_noise():
    form = Form(2, 1, 0, 2)
    matrix = blank(form, 4)
    matrix[1:, form.register_row(0), [0, form.branch(0), form.draw(0), form.draw(1)]] = (
        0.7,
        0.4,
        0.3,
        -0.2,
    )
    matrix[:, form.tap_row(0), form.draw(0)] = matrix[:, form.tap_row(1), form.draw(1)] = 1.0
    pages = np.arange(5)
    table = assemble(form, matrix, tap_index=np.stack([pages, pages], axis=1))
    noise = draws(5)
    first = execute(table, LAYOUT, network, noise)
    assert sorted(first.tapes[0]) == list(range(5))
    np.testing.assert_array_equal(first.tapes[0][2], noise[4])
    np.testing.assert_array_equal(first.tapes[1][3], noise[7])

    larger = Form(2, 1, 2, 0)
    wide = np.zeros((5, larger.rows, larger.columns))
    wide[:, : larger.rows, : form.external(0)] = matrix[:, : larger.rows, : form.external(0)]
    replayed = assemble(
        larger,
        wide,
        externals=("even", "odd"),
        external_index=np.stack([pages, pages], axis=1),
        noise_source=(0, 1),
        draws=np.zeros(5, np.int64),
    )
    tapes = {
        name: np.stack([tape[page] for page in pages])
        for name, tape in zip(("even", "odd"), first.tapes, strict=True)
    }
    silent = [np.full(ELEMENTS, np.nan)]
    again = execute(replayed, LAYOUT, network, silent, tapes)
    np.testing.assert_array_equal(again.latent, first.latent)


def test_draws_are_counted_apart_from_their_gain():
    form = Form(1)
    matrix = blank(form, 3)
    matrix[1:, form.register_row(0), 0] = 0.5
    matrix[3, form.register_row(0), form.draw(1)] = 1.0
    table = assemble(form, matrix, draws=np.array([1, 0, 2, 2]))
    assert table.draw_base == (0, 1, 1, 3)
    noise = draws(6)
    run = execute(table, LAYOUT, network, noise)
    np.testing.assert_allclose(run.latent, noise[0] / 8 + noise[4], rtol=0, atol=1e-15)


def test_skipped_branches_are_never_asked_nor_read():
    form = Form(1, 2)
    matrix = blank(form, 3)
    matrix[1:, form.register_row(0), [0, form.branch(0)]] = 0.5, 0.25
    matrix[2, form.register_row(0), form.branch(1)] = 0.25
    condition = np.array([[-1, -1], [0, -1], [0, 1], [0, -1]])
    asked = []

    def spy(latent, model_time, which):
        asked.append((model_time, which))
        return network(latent, model_time, which)

    table = assemble(form, matrix, condition=condition)
    run = execute(table, LAYOUT, spy, draws(7))
    assert asked == [(100.0, 0), (200.0, 0), (200.0, 1), (300.0, 0)]
    assert run.evaluations == table.nfe == 4
    assert np.isfinite(run.latent).all()


def test_a_branch_may_read_another_register():
    form = Form(2, 2)
    matrix = blank(form, 1)
    matrix[0, form.register_row(1), form.draw(1)] = 1.0
    matrix[1, form.register_row(0), form.branch(0) : form.guided] = 1.0, -1.0
    table = assemble(
        form,
        matrix,
        live=np.array([3, 1]),
        input_register=np.array([[0, 0], [0, 1]]),
        input_scale=np.array([[1.0, 1.0], [2.0, 0.5]]),
    )
    noise = draws(8)
    expected = network(2 * noise[0], 100.0, 0) - network(0.5 * noise[1], 100.0, 1)
    run = execute(table, LAYOUT, network, noise)
    np.testing.assert_allclose(run.latent, expected, rtol=0, atol=1e-15)


def test_a_dead_register_is_poison():
    form = Form(2)
    matrix = blank(form, 2)
    matrix[0, form.register_row(1), form.draw(1)] = 1.0
    matrix[1:, form.register_row(0), 1] = matrix[1:, form.register_row(1), 1] = 1.0
    table = assemble(form, matrix)
    assert np.isfinite(execute(table, LAYOUT, network, draws(9)).latent).all()
    broken = dataclasses.replace(table, live=np.array([1, 1, 1]))
    assert np.isnan(execute(broken, LAYOUT, network, draws(9)).latent).all()
