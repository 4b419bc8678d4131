"""SA-Solver: exact moments and weak order, where it adds noise, its limits and equalities."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import Gaussian, between_levels, propagate, weak_errors
from denoisert.runtime.sampling.schedules import VE, Final, Karras, Linear
from denoisert.runtime.sampling.solvers import (
    DDIM,
    RES,
    Ending,
    Estimate,
    SASolver,
    Slope,
    UniPC,
)
from tests.runtime.sampling.multistep_trials import (
    ENDED,
    VP,
    X0,
    assert_alike,
    assert_invariant,
    assert_sound,
    registers,
    sample,
    slopes,
)

FULL = Ending.FULL


@pytest.mark.parametrize(
    ("solver", "order"),
    [
        (SASolver(1, 0, 0.0, ending=FULL), 1),
        (SASolver(2, 0, 0.0, ending=FULL), 2),
        (SASolver(3, 0, 0.0, ending=FULL), 3),
        (SASolver(1, 2, 0.0, ending=FULL), 2),
        (SASolver(3, 3, 0.0, ending=FULL), 4),
        (SASolver(3, 4, 0.0, ending=FULL), 4),
    ],
    ids=str,
)
def test_order_without_noise(solver, order):
    np.testing.assert_allclose(slopes(solver), order, atol=0.3)


@pytest.mark.parametrize(
    ("solver", "order"),
    [
        (SASolver(1, 0), 1),
        (SASolver(1, 2), 2),
        (SASolver(2, 0), 2),
        (SASolver(2, 2), 2),
        (SASolver(2, 2, 0.4), 2),
        (SASolver(2, 2, slope=Slope.BH1), 2),
        (SASolver(3, 3), 2),
        (SASolver(2, 2, estimate=Estimate.NOISE), 2),
    ],
    ids=str,
)
def test_weak_order(solver, order):
    """Errors of mean and variance have different signs, so the slope settles on fine grids."""
    grids = between_levels(VE(), 10.0, 0.1)
    found = weak_errors(solver, grids, Gaussian(0.7, 0.25), (256, 512))
    np.testing.assert_allclose(found.slopes, order, atol=0.25)
    assert solver.order <= order


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_white_data_keep_their_marginals_exactly(eta):
    """Data of one point: D is constant, every polynomial is exact, and so are both moments."""
    data = Gaussian(0.3, 0.0)
    for solver in (SASolver(3, 3, eta), SASolver(2, 2, eta, slope=Slope.BH1), SASolver(1, 1, eta)):
        table = fold(solver.rows(VP.tail(1.0)), X0, Unguided())
        found = propagate(table, [data], X0, {"source": [data]})
        end = VP[VP.steps]
        mean, variance = data.moments(end.alpha, end.sigma)
        np.testing.assert_allclose(found.mean[0], mean, rtol=1e-12)
        np.testing.assert_allclose(found.covariance[0, 0], variance, rtol=1e-12)


def test_noise_is_that_of_the_sde():
    """c^2 = sigma_s^2 (1 - exp(-2 tau^2 h)); the corrector reuses the predictor's draw."""
    rows = SASolver(2, 2, 0.8, ending=FULL).rows(VP)
    draw = rows.basis.draws[0]
    for step in range(VP.steps):
        now, after = VP[step], VP[step + 1]
        h = after.half_logsnr - now.half_logsnr
        expected = after.sigma * np.sqrt(1 - np.exp(-2 * 0.64 * h))
        np.testing.assert_allclose(rows.registers[step + 1, 0] @ draw, expected, rtol=1e-12)
        waiting = expected if step < VP.steps - 1 else 0.0
        np.testing.assert_allclose(rows.registers[step + 1, 1] @ draw, waiting, rtol=1e-12)


def test_noise_inside_an_interval_alone():
    levels = VP.sigma / VP.alpha
    rows = SASolver(2, 2, interval=(float(levels[6]), float(levels[3]))).rows(VP)
    assert rows.draws.tolist() == [1, 0, 0, 0, 1, 1, 1, 1, 0, 0]
    empty = SASolver(2, 2, interval=(1e3, 1e4))
    assert_alike(sample(empty, VP), sample(SASolver(2, 2, 0.0), VP), 0.0)


def test_equalities_without_noise():
    for grid in (VP, ENDED):
        assert_alike(sample(SASolver(1, 0, 0.0), grid), sample(DDIM(), grid))
        assert_alike(sample(SASolver(3, 0, 0.0, ending=FULL), grid), sample(RES(3), grid))
        unipc = UniPC(3, Slope.EXACT, ending=FULL)
        assert_alike(sample(SASolver(3, 4, 0.0, ending=FULL), grid), sample(unipc, grid))


def test_one_step_with_full_noise_is_sde_dpm_solver():
    """tau = 1: x_s = (sigma_s / sigma_t) e^-h x + alpha_s (1 - e^-2h) D + noise."""
    row = SASolver(1, 0).rows(VP).registers[1, 0]
    basis, now, after = SASolver(1, 0).rows(VP).basis, VP[0], VP[1]
    h = after.half_logsnr - now.half_logsnr
    np.testing.assert_allclose(
        row @ basis.registers[0], after.sigma / now.sigma * np.exp(-h), rtol=1e-12
    )
    np.testing.assert_allclose(row @ basis.denoised, -after.alpha * np.expm1(-2 * h), rtol=1e-12)


@pytest.mark.parametrize(
    "solver", [SASolver(), SASolver(3, 4), SASolver(1, 1, 0.5), SASolver(2, 3, 0.0)], ids=str
)
def test_limits_and_parametrisations(solver):
    assert_sound(solver)
    assert_invariant(solver)


def test_the_noise_form_in_its_limits():
    assert_invariant(SASolver(2, 2, 0.3, estimate=Estimate.NOISE))
    assert_sound(SASolver(2, 2, 0.0, estimate=Estimate.NOISE))
    only_low = SASolver(2, 2, interval=(0.0, 2.0), estimate=Estimate.NOISE)
    assert_sound(only_low)
    assert SASolver(2, 2, estimate=Estimate.NOISE).rows(ENDED).draws[-1] == 0


def test_registers_are_no_more_than_needed():
    counts = {(1, 0): 1, (2, 0): 2, (3, 0): 3, (1, 1): 2, (2, 2): 3, (3, 3): 4, (3, 4): 4}
    for (predictor, corrector), count in counts.items():
        assert registers(SASolver(predictor, corrector)) == count


@pytest.mark.parametrize(
    "build",
    [
        lambda: SASolver(0),
        lambda: SASolver(4),
        lambda: SASolver(2, 5),
        lambda: SASolver(2, -1),
        lambda: SASolver(tau=-0.1),
        lambda: SASolver(tau=float("inf")),
        lambda: SASolver(interval=(2.0, 1.0)),
        lambda: SASolver(slope=Slope.BH1).rows(ENDED),
    ],
)
def test_values_outside_their_range_are_refused(build):
    with pytest.raises(InvalidInput):
        build()


def test_noise_out_of_pure_noise_is_refused_for_the_noise_estimate():
    level = np.array([np.inf, 3.0, 0.5])
    alpha = 1.0 / np.hypot(1.0, level)
    grid = Karras(7.0, 0.05, 30.0, Final.LAST).grid(Linear(), 2)
    grid = type(grid)(alpha, np.sqrt(1 - alpha**2), alpha, 1.0)
    with pytest.raises(InvalidInput, match="pure noise"):
        SASolver(estimate=Estimate.NOISE).rows(grid)
