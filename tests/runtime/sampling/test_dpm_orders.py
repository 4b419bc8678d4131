"""Orders of the DPM solvers: strongly on a mixture, weakly and exactly on Gaussian data."""

import numpy as np
import pytest

from denoisert.runtime.sampling.compat import Compat
from denoisert.runtime.sampling.oracle import (
    Gaussian,
    between_levels,
    between_times,
    strong_errors,
    weak_errors,
)
from denoisert.runtime.sampling.schedules import VE, Flow, Linear
from denoisert.runtime.sampling.solvers import (
    DPMFast,
    DPMpp2M,
    DPMpp2MSDE,
    DPMpp2S,
    DPMpp2SAncestral,
    DPMpp3M,
    DPMpp3MSDE,
    DPMpp3S,
    DPMppBlocks,
    DPMppBlocksSDE,
    DPMppSDE,
    DPMSolver2,
    DPMSolver2M,
    DPMSolver3,
    DPMSolver3M,
    DPMSolverBlocks,
    SDEDPMSolver1,
    SDEDPMSolver2M,
)
from denoisert.runtime.sampling.solvers.dpm import Ending, Form
from tests.runtime.sampling.trials import DATA

FULL, HEUN = Ending.FULL, Form.HEUN
NOISE = np.random.default_rng(8).standard_normal(32)
STEPS = (48, 192)  # one slope over two octaves
FINE = 300  # of Runge-Kutta's fourth order, which then errs by 1e-9 at most
WITHIN = 0.25
SLOPED = [
    DPMpp2M(0),
    DPMpp2M(0, HEUN),
    DPMpp3M(0),
    DPMSolver2M(0),
    DPMSolver2M(0, HEUN),
    DPMSolver3M(0),
    DPMpp2S(),
    DPMpp2S(0.7, HEUN),
    DPMpp3S(),
    DPMpp3S(0.2, 0.6, HEUN),
    DPMSolver2(),
    DPMSolver3(),
    DPMSolver3(form=HEUN),
    DPMppBlocks(2, ending=FULL),
    DPMppBlocks(3, ending=FULL),
    DPMppBlocks(3, HEUN, FULL),
    DPMSolverBlocks(2, ending=FULL),
    DPMSolverBlocks(3, ending=FULL),
    DPMSolverBlocks(3, HEUN, FULL),
    DPMFast(),
]


@pytest.mark.parametrize("solver", SLOPED, ids=str)
def test_order_between_two_levels(solver):
    """Even in log SNR from 10 to 0.1, where blocks of three have their order, too."""
    found = strong_errors(solver, between_levels(Linear(), 10.0, 0.1), DATA, NOISE, STEPS, FINE)
    np.testing.assert_allclose(found.slopes, solver.order, atol=WITHIN)


@pytest.mark.parametrize(
    "solver", [DPMpp2M(0), DPMpp2S(), DPMpp3S(), DPMSolver3(), DPMppBlocks(3, ending=FULL)], ids=str
)
def test_order_on_a_flow(solver):
    """Even in t from 0.98 to 0.05: uneven in log SNR, but smooth."""
    found = strong_errors(solver, between_times(Flow(), 0.98, 0.05), DATA, NOISE, STEPS, FINE)
    np.testing.assert_allclose(found.slopes, solver.order, atol=WITHIN)


@pytest.mark.parametrize("solver", [DPMpp2M(0), DPMpp2S(), DPMSolver2(), DPMSolver3M(0)], ids=str)
def test_the_first_step_out_of_pure_noise_costs_no_order_up_to_two(solver):
    found = strong_errors(solver, between_times(Flow(), 1.0, 0.05), DATA, NOISE, STEPS, FINE)
    np.testing.assert_allclose(found.slopes, solver.order, atol=WITHIN)


def test_a_last_step_of_order_one_leaves_order_two():
    """Its error is the square of its own length: blocks of 3, 3, .., 2, 1."""
    path = between_levels(Linear(), 10.0, 0.1)
    found = strong_errors(DPMppBlocks(3), path, DATA, NOISE, (96, 384), FINE)
    assert found.slopes[-1] < 2.4
    whole = strong_errors(DPMppBlocks(3, ending=FULL), path, DATA, NOISE, (96, 384), FINE)
    assert whole.errors[-1] < 0.4 * found.errors[-1]


def test_three_points_err_less_than_two():
    path = between_levels(VE(), 10.0, 0.1)
    for three, two in ((DPMpp3M(0), DPMpp2M(0)), (DPMSolver3M(0), DPMSolver2M(0))):
        errors = [strong_errors(s, path, DATA, NOISE, (48,), FINE).errors[0] for s in (three, two)]
        assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("path", [VE(), Linear()], ids=str)
@pytest.mark.parametrize(
    ("solver", "order"),
    [
        (DPMpp2MSDE(), 2),
        (DPMpp2MSDE(0.5), 2),
        (DPMpp2MSDE(form=HEUN), 2),
        (DPMpp3MSDE(), 2),
        (DPMpp3MSDE(0.5), 2),
        (DPMpp3MSDE(compat=Compat.DIFFUSERS), 1),
        (SDEDPMSolver2M(), 2),
        (SDEDPMSolver2M(0.5, form=HEUN), 2),
        (DPMpp2SAncestral(), 2),
        (DPMpp2SAncestral(0.5), 2),
        (DPMppSDE(), 2),
        (DPMppSDE(0.5), 2),
        (DPMFast(0.5), 2),
        (DPMppBlocksSDE(2, ending=FULL), 1),
        (DPMppBlocksSDE(2, HEUN, FULL), 1),
        (DPMppBlocksSDE(3, ending=FULL), 1),
        (DPMppBlocksSDE(3, HEUN, FULL), 1),
    ],
    ids=str,
)
def test_weak_order(solver, order, path):
    """Mean and variance from the exact marginal at level 10 to that at 0.1, without sampling."""
    found = weak_errors(solver, between_levels(path, 10.0, 0.1), Gaussian(0.7, 0.25), STEPS)
    np.testing.assert_allclose(found.slopes, order, atol=WITHIN)
    if getattr(solver, "compat", Compat.PAPER) is Compat.PAPER:
        assert solver.order == order


def test_weak_order_of_the_first_order_sde_on_the_noise_estimate():
    path = between_levels(VE(), 10.0, 0.1)
    found = weak_errors(SDEDPMSolver1(), path, Gaussian(0.7, 0.25), (96, 192, 384))
    np.testing.assert_allclose(found.slopes, SDEDPMSolver1.order, atol=WITHIN)


def test_what_the_sign_of_diffusers_costs():
    """Third-order SDE steps: weak order 1 multistep, and blocks with HEUN that do not converge."""
    path, data = between_levels(VE(), 10.0, 0.1), Gaussian(0.7, 0.25)
    right, theirs = (
        weak_errors(DPMpp3MSDE(compat=each), path, data, (128,)).errors[0] for each in Compat
    )
    assert theirs > 10.0 * right
    blocks = DPMppBlocksSDE(3, HEUN, FULL, compat=Compat.DIFFUSERS)
    assert min(weak_errors(blocks, path, data, (48, 192)).errors) > 1.0
