"""Each solver against its declared order, where the truth is known."""

import numpy as np
import pytest

from denoisert.runtime.sampling.oracle import (
    Gaussian,
    between_levels,
    between_times,
    strong_errors,
    weak_errors,
)
from denoisert.runtime.sampling.schedules import Flow, Karras, Linear, Trailing
from denoisert.runtime.sampling.solvers import DDIM, DPMpp2M, EulerAncestral
from tests.runtime.sampling.trials import (
    DATA,
    DETERMINISTIC,
    FLOWS,
    LAYOUT,
    by_index,
    run,
)

STEPS = (48, 96, 192)


def noise(seed):
    return np.random.default_rng(seed).standard_normal(LAYOUT.elements)


@pytest.mark.parametrize("solver", [*DETERMINISTIC, *FLOWS], ids=str)
def test_order_on_a_flow_from_pure_noise_to_data(solver):
    """DPM-Solver++ is of order 2 in log SNR, which such a grid never refines at its data end.

    There step i from the end errs by 1 / (i N^2): the sum is log(N) / N^2, measured up to N = 768.
    """
    found = strong_errors(solver, lambda n: Trailing().grid(Flow(), n), DATA, noise(7), STEPS)
    logarithm = np.log(STEPS) if isinstance(solver, DPMpp2M) else np.ones(3)
    slopes = found.slopes + np.diff(np.log(logarithm)) / np.diff(np.log(STEPS))
    np.testing.assert_allclose(slopes, solver.order, atol=0.25)


@pytest.mark.parametrize("solver", [*DETERMINISTIC, *FLOWS], ids=str)
def test_order_at_the_noise_end_of_a_flow(solver):
    """From t = 1, alpha = 0, to t = 0.05: the special first steps cost no order."""
    found = strong_errors(solver, between_times(Flow(), 1.0, 0.05), DATA, noise(6), STEPS)
    np.testing.assert_allclose(found.slopes, solver.order, atol=0.25)


@pytest.mark.parametrize("solver", DETERMINISTIC, ids=str)
def test_order_between_two_levels_of_a_variance_preserving_path(solver):
    """log(sigma_ve) even from 10 to 0.1: no special first or last step."""
    found = strong_errors(solver, between_levels(Linear(), 10.0, 0.1), DATA, noise(8), STEPS)
    np.testing.assert_allclose(found.slopes, solver.order, atol=0.25)


@pytest.mark.parametrize("solver", [DDIM(0.5), DDIM(1.0), EulerAncestral()], ids=str)
def test_weak_order_between_two_levels(solver):
    """Mean and variance of Gaussian data, exactly, from a start that has both right."""
    found = weak_errors(solver, between_levels(Linear(), 10.0, 0.1), Gaussian(0.7, 0.25), STEPS)
    np.testing.assert_allclose(found.slopes, solver.order, atol=0.25)


@pytest.mark.parametrize("schedule", [Linear(), Flow()], ids=str)
@pytest.mark.parametrize("solver", [DDIM(0.5), DDIM(1.0), EulerAncestral()], ids=str)
def test_ancestral_noise_keeps_the_variance_to_first_order(solver, schedule):
    """Gaussian data make the sampler linear: one element a draw shows every gain exactly."""
    data, variance, errors = Gaussian(0.0, 0.25), 0.25, []
    for steps in STEPS:
        grid, lookup = by_index(Karras(7.0, 0.02, 60.0).grid(schedule, steps))
        gains = run(solver, grid, lookup, list(np.eye(steps)), data=data).latent
        errors.append(abs(np.sum(gains**2) - variance))
    assert errors[-1] < 0.02
    slopes = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(slopes, 1.0, atol=0.25)
