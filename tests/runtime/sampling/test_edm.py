"""EDM's stochastic sampler: moments, the noise that it adds, equalities, limits."""

import json

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.compat import Compat
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.notation import from_dict, to_dict
from denoisert.runtime.sampling.oracle import (
    Gaussian,
    between_levels,
    execute,
    propagate,
    weak_errors,
)
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import EDM, Final, Flow, Linear, Trailing
from denoisert.runtime.sampling.solvers import EDMEuler, EDMHeun, Euler, Heun
from tests.runtime.sampling.multistep_trials import (
    ENDED,
    NOISE,
    STEPS,
    VP,
    assert_alike,
    assert_invariant,
    registers,
    sample,
)
from tests.runtime.sampling.trials import DATA, LAYOUT

X0 = Parametrisation.X0
GAUSSIAN = Gaussian(0.7, 0.25)
CHURNED = (EDMEuler(8.0), EDMHeun(8.0), EDMHeun(8.0, 0.5, 4.0), EDMHeun(1e3))


@pytest.mark.parametrize("path", [Linear(), EDM(0.01, 80.0)], ids=str)
@pytest.mark.parametrize("solver", CHURNED[:3], ids=str)
def test_weak_order(solver, path):
    """The noise keeps the marginals, so the order is that of the step."""
    found = weak_errors(solver, between_levels(path, 10.0, 0.1), GAUSSIAN, STEPS)
    np.testing.assert_allclose(found.slopes, solver.order, atol=0.25)


def test_noise_keeps_the_marginals_exactly():
    """One step from data of no variance: Euler is exact there, and only the noise is at work."""
    data = Gaussian(0.4, 0.0)
    grid = between_levels(Linear(), 8.0, 0.5)(3).tail(1.0)
    for solver in (EDMEuler(6.0), EDMHeun(6.0)):
        table = fold(solver.rows(grid), X0, Unguided())
        found = propagate(table, [data], X0, {"source": [data]})
        mean, variance = data.moments(grid.alpha[-1], grid.sigma[-1])
        np.testing.assert_allclose(found.mean[0], mean, rtol=1e-12)
        np.testing.assert_allclose(found.covariance[0, 0], variance, rtol=1e-12)


@pytest.mark.parametrize("s_noise", [1.0, 1.02])
@pytest.mark.parametrize("s_churn", [0.9, 100.0])
def test_levels_and_noise_are_those_of_algorithm_two(s_churn, s_noise):
    solver = EDMEuler(s_churn, 0.3, 5.0, s_noise)
    rows = solver.rows(VP)
    gamma = min(s_churn / VP.steps, np.sqrt(2.0) - 1.0)
    for step in range(VP.steps):
        level = VP[step].sigma_ve
        raised = level * (1.0 + gamma) if 0.3 <= level <= 5.0 else level
        assert rows.points[step].sigma_ve == pytest.approx(raised, rel=1e-12)
        assert rows.points[step].model_time >= VP[step].model_time
        row = rows.registers[step, 0]
        draw = rows.basis.draws[1 if step == 0 else 0]
        expected = s_noise * rows.points[step].alpha * np.sqrt(raised**2 - level**2)
        np.testing.assert_allclose(row @ draw, expected, rtol=1e-9, atol=1e-12)
    assert rows.draws.sum() == 1 + sum(0.3 <= VP[i].sigma_ve <= 5.0 for i in range(VP.steps))


def test_the_first_steps_noise_is_drawn_in_the_prologue():
    rows = EDMHeun(5.0).rows(VP)
    assert rows.draws.tolist() == [2] + [0, 1] * (VP.steps - 1) + [0, 0]
    first = rows.points[0]
    ratio = first.alpha / VP.alpha[0]
    assert rows.registers[0, 0] @ rows.basis.draws[0] == pytest.approx(ratio * VP.noise_gain)


def test_a_start_from_a_picture_is_raised_as_well():
    """The picture's share follows alpha, its noise grows to the raised level."""
    grid = VP.tail(0.5)
    rows = EDMEuler(4.0).rows(grid)
    point, basis = rows.points[0], rows.basis
    row = rows.registers[0, 0]
    gains = np.array([row @ basis.draws[0], row @ basis.draws[1]])
    assert row @ basis.external(0) == pytest.approx(point.alpha)
    assert np.hypot(*gains) == pytest.approx(point.sigma)


@pytest.mark.parametrize("grid", [VP, ENDED], ids=["vp", "ended"])
def test_without_churn_they_are_euler_and_heun(grid):
    for ours, plain in ((EDMEuler(), Euler()), (EDMHeun(), Heun())):
        assert_alike(ours.rows(grid).registers, plain.rows(grid).registers, 1e-13)
        outside = type(ours)(40.0, 100.0, 200.0)
        assert_alike(outside.rows(grid).registers, plain.rows(grid).registers, 1e-13)
    silent = EDMEuler(compat=Compat.DIFFUSERS).rows(grid)
    np.testing.assert_array_equal(silent.registers, Euler().rows(grid).registers)


def test_diffusers_leaves_its_last_noise_in_the_sample():
    """It asks before it adds the noise, so that no step removes it."""
    theirs, ours = EDMEuler(3.0, compat=Compat.DIFFUSERS).rows(ENDED), EDMEuler(3.0).rows(ENDED)
    assert theirs.registers[-1, 0] @ theirs.basis.draws[0] > 0.01
    assert ours.registers[-1, 0] @ ours.basis.draws[0] == 0.0
    assert theirs.points == tuple(ENDED[i] for i in range(ENDED.steps))


@pytest.mark.parametrize("solver", CHURNED, ids=str)
def test_evaluations_registers_and_ends(solver):
    calls = solver.evaluations_per_step
    assert registers(solver) == calls
    for steps in (1, 2, 3, 7):
        whole = Trailing(Final.LAST).grid(Linear(), steps)
        ended = Trailing().grid(Linear(), steps)
        noise = Trailing().grid(Flow(shift=2.0), steps)
        counts = [solver.rows(grid).stages for grid in (whole, ended, noise)]
        single = steps * calls - (calls - 1) * min(steps, 2)
        assert counts == [calls * steps, calls * (steps - 1) + 1, single]
        for grid in (whole, ended, noise):
            assert np.isfinite(solver.rows(grid).registers).all()
            assert np.isfinite(sample(solver, grid)).all()
            assert solver.rows(grid).steps[-1] == steps
    one = sample(solver, Trailing().grid(Flow(), 1))
    np.testing.assert_allclose(one, DATA.estimates(NOISE, 0.0, 1.0)[0], rtol=1e-13)


@pytest.mark.parametrize("solver", CHURNED, ids=str)
def test_every_parametrisation_gives_the_same_sample(solver):
    assert_invariant(solver)


def test_a_run_spends_its_draws_in_order():
    """The second draw is the first step's, as in k-diffusion."""
    rng = np.random.default_rng(2)
    noise = list(rng.standard_normal((8, LAYOUT.elements)))
    grid = between_levels(EDM(0.01, 80.0), 5.0, 1.0)(1)
    table = fold(EDMEuler(0.2).rows(grid), Parametrisation.EPS, Unguided())
    found = execute(table, LAYOUT, lambda x, time, condition: 0.0 * x, noise).latent
    expected = 5.0 * noise[0] + 5.0 * np.sqrt(1.2**2 - 1.0) * noise[1]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "values", [(-1.0,), (1.0, -0.1), (1.0, 2.0, 1.0), (1.0, 0.0, None, -1.0), (float("nan"),)]
)
def test_values_outside_their_range_are_refused(values):
    for kind in (EDMEuler, EDMHeun):
        with pytest.raises(InvalidInput, match="churn"):
            kind(*values)


def test_raised_levels_need_a_path():
    bare = Grid(VP.alpha, VP.sigma, VP.model_time, 1.0)
    EDMHeun().rows(bare)
    with pytest.raises(InvalidInput, match="without a path"):
        EDMHeun(1.0).rows(bare)


def test_there_and_back_through_json():
    solver = EDMEuler(2.0, 0.1, 9.0, 1.01, Compat.DIFFUSERS)
    assert from_dict(json.loads(json.dumps(to_dict(solver)))) == solver
