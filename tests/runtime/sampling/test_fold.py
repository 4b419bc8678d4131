"""Rows, parametrisation, guidance and operation become one table that means the same."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidTable
from denoisert.runtime.sampling.basis import ExternalMap, RangeMap, Term
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import CFG, Branches, Unguided
from denoisert.runtime.sampling.operations import Clip, DynamicThreshold
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.rows import Program
from tests.runtime.sampling.drafts import ELEMENTS, LAYOUT, draws
from tests.runtime.sampling.programs import (
    ADAMS,
    angles,
    ddim,
    exact,
    mixtures,
    moved,
    multistep,
    spread,
)

EPS, V = Parametrisation.EPS, Parametrisation.V


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def sample(grid, noise, estimate, eta=0.0, start=None):
    """The loop of `ddim` as a paper writes it; estimate(x, step) gives D and E."""
    x = grid.noise_gain * noise[0] if start is None else start
    for step in range(grid.steps):
        now, then, gain = grid[step], grid[step + 1], spread(grid, step, eta)
        denoised, eps = estimate(x, now)
        x = then.alpha * denoised + np.sqrt(then.sigma**2 - gain**2) * eps
        if gain:
            x = x + gain * noise[step + 1]
    return x


def cond(x, point):
    return mixtures()[0].estimates(x, point.alpha, point.sigma)


@pytest.mark.parametrize("parametrisation", list(Parametrisation))
def test_every_parametrisation_gives_the_same_sample(parametrisation):
    grid, noise = angles(6), draws(1)
    table = fold(ddim(grid, 0.7), parametrisation, Unguided())
    run = execute(table, LAYOUT, exact(parametrisation), noise)
    close(run.latent, sample(grid, noise, cond, 0.7))
    assert run.evaluations == table.nfe == 6


def test_a_run_may_start_where_alpha_is_zero():
    grid = angles(5, first=np.pi / 2)
    grid.alpha[0] = 0.0
    noise = draws(2)
    run = execute(fold(ddim(grid), V, Unguided()), LAYOUT, exact(V), noise)
    close(run.latent, sample(grid, noise, cond))
    with pytest.raises(InvalidTable, match="does not determine"):
        fold(ddim(grid), EPS, Unguided())


@pytest.mark.parametrize("scale", [0.3, 4.0])
def test_a_scaled_input_is_a_change_of_coordinates(scale):
    """Kept as x / scale and fed as scale * R_0: the same sample, scaled."""
    grid, noise = angles(6), draws(3)
    rows = ddim(grid, 0.5)
    update = rows.registers.copy()
    update[:, 0] /= scale
    points = tuple(moved(point, scale) for point in rows.points)
    scaled = replace(rows, registers=update, points=points)
    table = fold(replace(scaled, bound=Clip(-0.9, 0.9, rederive=True)), V, CFG(2.0))
    plain = fold(replace(rows, bound=Clip(-0.9, 0.9, rederive=True)), V, CFG(2.0))
    found = execute(table, LAYOUT, exact(V), noise).latent
    close(found * scale, execute(plain, LAYOUT, exact(V), noise).latent)
    assert (table.input_scale[1:] == scale).all()


def test_branches_may_have_their_own_parametrisation():
    grid, noise = angles(5), draws(4)
    table = fold(ddim(grid), [EPS, V], CFG(3.0))

    def mixed(latent, model_time, condition):
        return exact([EPS, V][condition])(latent, model_time, condition)

    def guided(x, point):
        one, other = (each.estimates(x, point.alpha, point.sigma) for each in mixtures())
        return tuple(u + 3.0 * (c - u) for c, u in zip(one, other, strict=True))

    close(execute(table, LAYOUT, mixed, noise).latent, sample(grid, noise, guided))


def test_clip_keeps_the_networks_noise_or_derives_it_again():
    grid, noise = angles(6), draws(5)

    def clipped(rederive):
        def estimate(x, point):
            denoised, eps = cond(x, point)
            low = np.clip(denoised, -0.4, 0.3)
            return low, (x - point.alpha * low) / point.sigma if rederive else eps

        return estimate

    samples = []
    for rederive in (False, True):
        table = fold(replace(ddim(grid, 0.4), bound=Clip(-0.4, 0.3, rederive)), EPS, Unguided())
        run = execute(table, LAYOUT, exact(EPS), noise)
        samples.append(sample(grid, noise, clipped(rederive), 0.4))
        close(run.latent, samples[-1])
        assert max(np.abs(page).max() for page in run.tapes[0].values()) == pytest.approx(0.4)
    assert np.abs(samples[0] - samples[1]).max() > 0.01


def test_dynamic_threshold_follows_its_quantile():
    grid, noise = angles(4), [3 * value for value in draws(6)]

    def limited(x, point):
        denoised, eps = cond(x, point)
        limit = min(max(np.quantile(np.abs(denoised), 0.7), 1.0), 1.4)
        return np.clip(denoised, -limit, limit) / limit, eps

    table = fold(replace(ddim(grid), bound=DynamicThreshold(0.7, 1.4)), V, Unguided())
    found = execute(table, LAYOUT, exact(V), noise).latent
    close(found, sample(grid, noise, limited))
    assert np.abs(found - sample(grid, noise, cond)).max() > 1e-3


def test_a_source_is_noised_to_the_first_point_of_the_tail():
    grid, noise = angles(8).tail(0.5), draws(7)
    source = np.random.default_rng(7).standard_normal(ELEMENTS)
    table = fold(ddim(grid), EPS, Unguided())
    start = grid.alpha[0] * source + grid.sigma[0] * noise[0]
    run = execute(table, LAYOUT, exact(EPS), noise, {"source": source})
    close(run.latent, sample(grid, noise, cond, start=start))


def test_taps_show_the_clean_estimate_of_every_stage():
    grid, noise = angles(4), draws(8)
    shown = []

    def watched(x, point):
        shown.append(cond(x, point)[0])
        return cond(x, point)

    run = execute(fold(ddim(grid), V, Unguided()), LAYOUT, exact(V), noise)
    sample(grid, noise, watched)
    assert sorted(run.tapes[0]) == [0, 1, 2, 3]
    for page, expected in enumerate(shown):
        close(run.tapes[0][page], expected)


@pytest.mark.parametrize("parametrisation", [EPS, V])
def test_history_is_shifted_by_renames(parametrisation):
    grid, noise = angles(9, first=1.2), draws(9)
    table = fold(multistep(grid), parametrisation, Unguided())
    x, past = noise[0], []
    for step in range(grid.steps):
        now, then = grid[step], grid[step + 1]
        past = [cond(x, now)[1], *past]
        weights = ADAMS[min(step, 3)]
        mean = sum(w * e for w, e in zip(weights, past, strict=False)) / sum(weights)
        ratio = then.alpha / now.alpha
        x = ratio * x + (then.sigma - ratio * now.sigma) * mean
    close(execute(table, LAYOUT, exact(parametrisation), noise).latent, x)
    assert (np.diff(table.rename[1:-3], axis=0) != 0).any(axis=1).all()


def test_products_of_the_clean_estimate_spread_over_its_columns():
    grid, noise = angles(3), draws(10)
    program = Program(grid, 1, ("mask",))
    basis = program.basis
    for step in range(grid.steps):
        then = grid[step + 1]
        program.stage(
            grid[step],
            [then.alpha * basis.denoised + then.sigma * basis.noise],
            products=[
                Term(0, 0.2, ExternalMap(0), basis.denoised),
                Term(0, -0.5, RangeMap(1, 0, 1), basis.noise),
            ],
        )
    table = fold(program.rows(), V, CFG(2.0))
    assert [len(products) for products in table.products] == [0, 6, 6, 6]
    mask = np.random.default_rng(10).random(ELEMENTS)
    start = LAYOUT.ranges[1][0]
    x = noise[0]
    for step in range(grid.steps):
        now, then = grid[step], grid[step + 1]
        one, other = (each.estimates(x, now.alpha, now.sigma) for each in mixtures())
        denoised, eps = (2 * c - u for c, u in zip(one, other, strict=True))
        x = then.alpha * denoised + then.sigma * eps + 0.2 * mask * denoised
        x[start : start + 4] -= 0.5 * eps[start : start + 4]
    close(execute(table, LAYOUT, exact(V), noise, {"mask": mask}).latent, x)


def test_coordinates_and_times_stand_beside_the_stages():
    grid = angles(4)
    table = fold(ddim(grid), V, CFG(2.0))
    assert np.isnan(table.alpha[0])
    np.testing.assert_array_equal(table.alpha[1:], grid.alpha[:-1])
    np.testing.assert_array_equal(table.sigma[1:], grid.sigma[:-1])
    np.testing.assert_array_equal(table.model_time[1:], np.stack([grid.model_time[:-1]] * 2, 1))
    assert table.condition.tolist() == [[-1, -1], *[[0, 1]] * 4]
    assert table.stages == 4


@dataclass(frozen=True)
class Fixed:
    """Guidance of given branches."""

    value: Branches

    def branches(self, points):
        return self.value


def test_parts_that_do_not_fit_are_refused():
    rows = ddim(angles(3))
    with pytest.raises(InvalidTable, match=r"sum to 1\.5"):
        fold(rows, EPS, Fixed(Branches.linear((0, 1), np.tile([1.0, 0.5], (3, 1)))))
    with pytest.raises(InvalidTable, match="for 3 stages and 2 branches"):
        fold(rows, EPS, Fixed(Branches.linear((0, 1), np.ones((2, 2)))))
    with pytest.raises(InvalidTable, match="1 parametrisations for 2 branches"):
        fold(rows, [EPS], CFG(2.0))
    with pytest.raises(InvalidTable, match="one parametrisation"):
        fold(rows, [EPS, V], CFG(2.0, rescale=0.5))
    still = rows.points[1]._replace(sigma=0.0)
    clean = replace(rows, points=(rows.points[0], still, rows.points[2]))
    with pytest.raises(InvalidTable, match="sigma is 0"):
        fold(replace(clean, bound=Clip(rederive=True)), EPS, Unguided())
    crowded = Term(0, 1.0, RangeMap(0), sum(rows.basis.registers) + rows.basis.denoised)
    many = replace(rows, products=((), (crowded,) * 9, (), ()))
    with pytest.raises(InvalidTable, match="18 products in a row"):
        fold(many, EPS, Unguided())


def test_a_grid_of_another_path_folds_the_same_way():
    t = np.linspace(1, 0, 6)
    grid, noise = Grid(1 - t, t, t, 1.0), draws(11)
    flow = Parametrisation.FLOW

    def answer(latent, model_time, condition):
        denoised, eps = mixtures()[0].estimates(latent, 1 - model_time, model_time)
        return eps - denoised

    found = execute(fold(ddim(grid), flow, Unguided()), LAYOUT, answer, noise).latent
    x = noise[0]
    for step in range(5):
        x = x + (t[step + 1] - t[step]) * answer(x, t[step], 0)
    close(found, x)
