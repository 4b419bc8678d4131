"""DPM2 with churn and DPM2 ancestral: order, moments, equalities, limits."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import Gaussian, between_levels, propagate, weak_errors
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import EDM, Final, Flow, Linear, Trailing
from denoisert.runtime.sampling.solvers import DPM2, DPM2Ancestral, EulerAncestral
from tests.runtime.sampling.multistep_trials import (
    ENDED,
    NOISE,
    STEPS,
    VP,
    assert_alike,
    assert_invariant,
    registers,
    sample,
    slopes,
)
from tests.runtime.sampling.trials import DATA

X0 = Parametrisation.X0
GAUSSIAN = Gaussian(0.7, 0.25)
PATHS = (Linear(), EDM(0.01, 80.0))
DETERMINISTIC = (DPM2(), DPM2(ratio=0.3), DPM2Ancestral(0.0))
STOCHASTIC = (DPM2(s_churn=8.0), DPM2Ancestral(), DPM2Ancestral(0.5))


@pytest.mark.parametrize("solver", DETERMINISTIC, ids=str)
def test_order(solver):
    found = slopes(solver, between_levels(PATHS[0], 10.0, 0.1))
    np.testing.assert_allclose(found, solver.order, atol=0.25)


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize("solver", STOCHASTIC, ids=str)
def test_weak_order(solver, path):
    """Noise that leads from one marginal to another costs no order: only the step errs."""
    found = weak_errors(solver, between_levels(path, 10.0, 0.1), GAUSSIAN, STEPS)
    np.testing.assert_allclose(found.slopes, 2.0, atol=0.25)
    assert found.errors[-1] < 2e-4
    assert solver.order == 2


def test_more_noise_than_leads_up_makes_too_much_variance():
    grids = between_levels(PATHS[0], 10.0, 0.1)
    for noisy in (DPM2Ancestral(s_noise=1.05), DPM2(s_churn=8.0, s_noise=1.05)):
        table = fold(noisy.rows(grids(96).tail(1.0)), X0, Unguided())
        found = propagate(table, [GAUSSIAN], X0, {"source": [GAUSSIAN]})
        end = grids(96)[96]
        assert found.covariance[0, 0] > GAUSSIAN.moments(end.alpha, end.sigma)[1] + 2e-3


def test_without_noise_it_is_dpm2():
    for grid in (VP, ENDED):
        expected = DPM2().rows(grid).registers
        assert_alike(DPM2Ancestral(0.0).rows(grid).registers, expected)
        silent = DPM2Ancestral(0.0).rows(grid)
        assert silent.draws.tolist() == [1] + [0] * silent.stages


def test_rows_are_the_midpoint_rule_in_log_sigma():
    rows = DPM2().rows(VP)
    basis = rows.basis
    for step in range(VP.steps):
        now, after, middle = VP[step], VP[step + 1], rows.points[2 * step + 1]
        assert middle.sigma_ve == pytest.approx(np.sqrt(now.sigma_ve * after.sigma_ve))
        assert middle.alpha**2 + middle.sigma**2 == pytest.approx(1.0)
        first, second = rows.registers[2 * step + 1], rows.registers[2 * step + 2]
        asked = middle.alpha * basis.denoised + middle.sigma * basis.noise
        np.testing.assert_allclose(first[0], asked, atol=1e-13)
        start = after.alpha * (basis.denoised + now.sigma_ve * basis.noise)
        np.testing.assert_allclose(first[1], start, atol=1e-13)
        length = after.alpha * (after.sigma_ve - now.sigma_ve)
        expected = basis.registers[1] + length * basis.noise
        np.testing.assert_allclose(second[0], expected, atol=1e-13)


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_ancestral_noise_is_that_of_euler_ancestral(eta):
    euler, ours = EulerAncestral(eta).rows(VP), DPM2Ancestral(eta, 1.1).rows(VP)
    gains = [rows.registers[1:, 0] @ rows.basis.draws[0] for rows in (euler, ours)]
    np.testing.assert_allclose(gains[1][1::2], 1.1 * gains[0], rtol=1e-12)
    np.testing.assert_array_equal(gains[1][::2], 0.0)


@pytest.mark.parametrize("solver", [*DETERMINISTIC, *STOCHASTIC], ids=str)
def test_evaluations_registers_and_ends(solver):
    assert registers(solver) == 2
    for steps in (1, 2, 3, 7):
        whole = Trailing(Final.LAST).grid(Linear(), steps)
        ended = Trailing().grid(Linear(), steps)
        noise = Trailing().grid(Flow(shift=2.0), steps)
        counts = [solver.rows(grid).stages for grid in (whole, ended, noise)]
        assert counts == [2 * steps, 2 * steps - 1, max(2 * steps - 2, 1)]
        for grid in (whole, ended, noise):
            assert np.isfinite(solver.rows(grid).registers).all()
            assert np.isfinite(sample(solver, grid)).all()
            assert solver.rows(grid).steps[-1] == steps
    one = sample(solver, Trailing().grid(Flow(), 1))
    np.testing.assert_allclose(one, DATA.estimates(NOISE, 0.0, 1.0)[0], rtol=1e-13)


@pytest.mark.parametrize("solver", [*DETERMINISTIC, *STOCHASTIC], ids=str)
def test_every_parametrisation_gives_the_same_sample(solver):
    assert_invariant(solver)


def test_a_step_into_clean_data_draws_nothing():
    assert DPM2Ancestral().rows(ENDED).draws[-1] == 0
    assert DPM2Ancestral().rows(VP).draws[-1] == 1


@pytest.mark.parametrize(
    "build",
    [
        lambda: DPM2(ratio=0.0),
        lambda: DPM2(ratio=1.0),
        lambda: DPM2(s_churn=-1.0),
        lambda: DPM2(s_noise=float("inf")),
        lambda: DPM2Ancestral(1.1),
        lambda: DPM2Ancestral(s_noise=-0.1),
    ],
)
def test_values_outside_their_range_are_refused(build):
    with pytest.raises(InvalidInput):
        build()


def test_a_grid_without_a_path_is_refused():
    bare = Grid(VP.alpha, VP.sigma, VP.model_time, 1.0)
    for solver in (DPM2(), DPM2Ancestral()):
        with pytest.raises(InvalidInput, match="without a path"):
            solver.rows(bare)
