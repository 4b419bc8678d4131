"""Moments and the composed map where elements differ, sources are random and draws are several."""

import dataclasses

import numpy as np
import pytest

from denoisert.kernels.step.form import Form
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.basis import Everywhere, ExternalMap, RangeMap
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import Gaussian, compose, execute, propagate, solve
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.table import TableProduct
from tests.runtime.sampling.drafts import ELEMENTS, LAYOUT, assemble, blank
from tests.runtime.sampling.programs import angles, ddim, gaussians, multistep

V, X0 = Parametrisation.V, Parametrisation.X0


def by_units(table, denoisers, externals=None):
    """Offset and gains of R_0, read off runs: nothing drawn, then one draw at a time."""
    draws = int(table.draws.sum())
    elements = np.broadcast_shapes((1,), *(np.shape(d.mean) for d in denoisers))

    def at(noise):
        run = solve(table, denoisers, V, [each * np.ones(elements) for each in noise], externals)
        return run.latent

    offset = at(np.zeros(draws))
    return offset, np.stack([at(unit) - offset for unit in np.eye(draws)])


@pytest.mark.parametrize("eta", [0.0, 0.7])
@pytest.mark.parametrize("rows", [ddim, multistep], ids=["ddim", "K = 4"])
def test_the_composed_map_is_what_unit_draws_do(rows, eta):
    grid = angles(7, first=1.4)
    table = fold(rows(grid, eta) if rows is ddim else rows(grid), V, Unguided())
    data = [Gaussian(np.array([0.7, -1.0, 0.0]), np.array([0.25, 1.3, 0.0]))]
    found = compose(table, data, V)
    offset, gains = by_units(table, data)
    np.testing.assert_allclose(found.offset[0], offset, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.gains[0], gains, rtol=1e-12, atol=1e-12)


def test_elements_of_different_gaussians_are_as_each_alone():
    table = fold(ddim(angles(8), 1.0), V, Unguided())
    means, variances = np.array([0.7, -0.3]), np.array([0.25, 0.6])
    together = propagate(table, [Gaussian(means, variances)], V)
    assert (together.mean.shape, together.covariance.shape) == ((1, 2), (1, 1, 2))
    for index in range(2):
        alone = propagate(table, [Gaussian(means[index], variances[index])], V)
        assert together.mean[0, index] == pytest.approx(alone.mean[0], rel=1e-14)
        found = together.covariance[0, 0, index]
        assert found == pytest.approx(alone.covariance[0, 0], rel=1e-14)


def test_a_product_on_a_range_changes_its_elements_alone():
    form = Form(1)
    matrix = blank(form, 1)
    matrix[1, form.register_row(0), 0] = 2.0
    terms = (TableProduct(0, 3.0, RangeMap(1, 1, 1), 0), TableProduct(0, 1.0, RangeMap(0, 1), 0))
    table = assemble(form, matrix, products=((), terms))
    found = propagate(table, gaussians(), V, layout=LAYOUT)
    noise = [np.ones(ELEMENTS), np.zeros(ELEMENTS)] * 2
    run = execute(table, LAYOUT, lambda x, *_: x, noise).latent
    assert set(run) == {2.0, 3.0, 5.0}
    np.testing.assert_allclose(found.covariance[0, 0], run**2, rtol=1e-14)
    with pytest.raises(InvalidInput, match="give the state's layout"):
        propagate(table, gaussians(), V)


def test_a_random_source_is_the_same_wherever_it_is_read():
    """R_0 = X + xi, then R_0 - X: the source cancels, which independent draws would not."""
    form = Form(1, 1, 1)
    matrix = blank(form, 1)
    matrix[0, form.register_row(0), form.external(0)] = 1.0
    matrix[1, form.register_row(0), [0, form.external(0)]] = 1.0, -1.0
    table = assemble(form, matrix, external_index=np.array([[0], [0]]))
    found = propagate(table, gaussians(), V, {"buffer0": [Gaussian(5.0, 9.0)]})
    assert (found.mean[0], found.covariance[0, 0]) == (0.0, 1.0)


def test_two_pages_of_a_source_are_independent():
    form = Form(1, 1, 1)
    matrix = blank(form, 1)
    matrix[0, form.register_row(0), form.external(0)] = 1.0
    matrix[1, form.register_row(0), [0, form.external(0)]] = 1.0, -1.0
    table = assemble(form, matrix, external_index=np.array([[0], [1]]))
    pages = [Gaussian(5.0, 9.0), Gaussian(np.array([1.0, 2.0]), 4.0)]
    found = propagate(table, gaussians(), V, {"buffer0": pages})
    np.testing.assert_allclose(found.mean[0], [4.0, 3.0])
    np.testing.assert_allclose(found.covariance[0, 0], 14.0)


def test_a_noised_source_starts_at_the_exact_marginal():
    """x = alpha X + sigma xi of Gaussian X is Gaussian data diffused, and stays it at every N."""
    data, grid = Gaussian(0.7, 0.25), angles(60, first=1.3, last=0.4).tail(1.0)
    table = fold(ddim(grid), V, Unguided())
    found = propagate(table, [data], V, {"source": [data]})
    mean, variance = data.moments(np.cos(0.4), np.sin(0.4))
    assert found.mean[0] == pytest.approx(mean, abs=5e-3)
    assert found.covariance[0, 0] == pytest.approx(variance, abs=2e-2)
    noise = np.random.default_rng(1).standard_normal((2, 200_000))
    source = data.mean + np.sqrt(data.variance) * noise[1]
    run = solve(table, [data], V, [noise[0]], {"source": source[None]}).latent
    spread = found.covariance[0, 0]
    assert abs(run.mean() - found.mean[0]) < 5 * np.sqrt(spread / run.size)
    assert abs(run.var() - spread) < 5 * spread * np.sqrt(2 / run.size)


def test_both_draws_of_a_row_count_and_a_second_row_has_its_own():
    form = Form(1)
    matrix = np.zeros((2, form.rows, form.columns))
    row = form.register_row(0)
    matrix[0, row, [form.draw(0), form.draw(1)]] = 1.0, 2.0
    matrix[1, row, [0, form.draw(0), form.draw(1)]] = 1.0, 1.0, -3.0
    table = assemble(form, matrix)
    found = propagate(table, gaussians(), V)
    assert found.covariance[0, 0] == 1 + 4 + 1 + 9
    np.testing.assert_array_equal(compose(table, gaussians(), V).gains[0, :, 0], [1, 2, 1, -3])


def test_a_map_may_differ_by_element_but_not_be_random():
    form = Form(1, 1, 1)
    matrix = blank(form, 1)
    terms = (TableProduct(0, 2.0, ExternalMap(0), 0), TableProduct(0, 1.0, Everywhere(), 0))
    fields = {"products": ((), terms), "external_index": np.array([[-1], [0]])}
    table = assemble(form, matrix, **fields)
    mask = np.array([0.0, 1.0, 0.5])
    found = propagate(table, gaussians(), V, {"buffer0": [mask]})
    np.testing.assert_allclose(found.covariance[0, 0], (1 + 2 * mask) ** 2)
    with pytest.raises(InvalidInput, match="is not linear"):
        propagate(table, gaussians(), V, {"buffer0": [Gaussian(0.0, 1.0)]})


def test_values_of_other_sizes_are_refused():
    table = fold(ddim(angles(3)), V, Unguided())
    with pytest.raises(InvalidInput, match="no state of one size"):
        propagate(table, [Gaussian(np.zeros(2), 1.0)], V, layout=StateLayout((Part("x", (3,)),)))


def test_a_learned_variance_has_no_moments():
    table = fold(ddim(angles(3)), X0, Unguided())
    form = table.form
    learned = assemble(form, blank(form, 1), port=np.ones((2, 1), np.int64))
    with pytest.raises(InvalidInput, match="no closed form"):
        propagate(learned, gaussians(), X0)


def test_a_missing_external_is_named():
    table = fold(ddim(angles(3, first=1.2).tail(1.0)), X0, Unguided())
    with pytest.raises(InvalidInput, match="reads source"):
        propagate(table, gaussians(), X0)
    with pytest.raises(InvalidInput, match="reads source"):
        solve(table, gaussians(), X0, [np.zeros(2)])


def test_runs_need_their_noise_and_a_network_that_an_oracle_can_be():
    table = fold(ddim(angles(3), 1.0), X0, Unguided())
    with pytest.raises(InvalidInput, match="1 arrays of noise"):
        solve(table, gaussians(), X0, [np.zeros(2)])
    for changes in ({"port": np.ones((2, 1), np.int64)}, {"scalars": np.ones((2, 1, 4))}):
        told = assemble(Form(1), blank(Form(1), 1), **changes)
        with pytest.raises(InvalidInput, match="knows neither"):
            solve(told, gaussians(), X0, [np.zeros(2)] * 4)


def test_an_exact_network_is_asked_where_the_table_is_whatever_its_times_say():
    """Two stages of one model time, as when late times share a name: no lookup could tell them."""
    grid = angles(4, first=1.3, last=0.2)
    shared = dataclasses.replace(grid, model_time=np.zeros(5))
    noise = [np.random.default_rng(2).standard_normal(6)]
    one, other = (
        solve(fold(ddim(each), X0, Unguided()), gaussians(), X0, noise).latent
        for each in (grid, shared)
    )
    np.testing.assert_array_equal(one, other)


def test_draws_that_are_counted_but_not_read_change_nothing():
    form = Form(1)
    matrix = blank(form, 1)
    matrix[1, form.register_row(0), 0] = 0.5
    few, many = (assemble(form, matrix, draws=np.array(draws)) for draws in ([1, 0], [2, 2]))
    assert propagate(few, gaussians(), V) == propagate(many, gaussians(), V)
