"""ER-SDE: weak order, exact integrals, noise scales and their limits."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.oracle import Gaussian, between_levels, weak_errors
from denoisert.runtime.sampling.schedules import VE, Final, Flow, Karras, Linear, Trailing
from denoisert.runtime.sampling.solvers import DDIM, ERSDE, NoiseScale, Quadrature
from tests.runtime.sampling.multistep_trials import (
    ENDED,
    VP,
    assert_alike,
    assert_invariant,
    assert_sound,
    registers,
    sample,
    slopes,
)
from tests.runtime.sampling.parity.er_sde import SCALES

DATA = Gaussian(0.7, 0.25)
LEVELS = between_levels(VE(), 10.0, 0.1)


@pytest.mark.parametrize("noise", [NoiseScale.SDE_5, NoiseScale.SDE, NoiseScale.SDE_4])
@pytest.mark.parametrize("terms", [1, 2, 3])
def test_weak_order(terms, noise):
    """Three terms are nearer than two and of the same order."""
    solver = ERSDE(terms, noise)
    found = weak_errors(solver, LEVELS, DATA, (64, 128, 256))
    np.testing.assert_allclose(found.slopes, solver.order, atol=0.25)
    if terms == 3:
        assert found.errors[-1] < weak_errors(ERSDE(2, noise), LEVELS, DATA, (256,)).errors[0]


def test_the_published_sums_lose_the_order():
    """The measured errors of 100-point left sums: the slope falls from 2.2 to 1.5."""
    found = weak_errors(ERSDE(3, quadrature=Quadrature.SUM100), LEVELS, DATA, (8, 16, 32, 64, 128))
    np.testing.assert_allclose(found.errors, [2.1e-2, 4.6e-3, 1.2e-3, 3.4e-4, 1.2e-4], rtol=0.05)
    assert found.slopes[-1] < 1.6
    exact = weak_errors(ERSDE(3), LEVELS, DATA, (128,)).errors[0]
    assert exact < found.errors[-1] / 2


@pytest.mark.parametrize("terms", [2, 3])
def test_order_without_noise(terms):
    np.testing.assert_allclose(slopes(ERSDE(terms, NoiseScale.ODE)), 2.0, atol=0.35)


@pytest.mark.parametrize("noise", NoiseScale)
@pytest.mark.parametrize(("high", "low"), [(30.0, 0.01), (2.0, 1.999), (5.0, 1.0), (0.1, 0.02)])
def test_integrals_against_a_fine_sum(noise, high, low):
    """Simpson in log k on 20000 pieces of the published phi."""
    phi = SCALES[noise]
    k = np.exp(np.linspace(np.log(low), np.log(high), 20001))
    weight = np.full(k.size, 2.0)
    weight[1::2], weight[0], weight[-1] = 4.0, 1.0, 1.0
    weight *= np.log(high / low) / 20000 / 3 * k
    ratio = phi(low) / phi(k) - 1.0
    found = ERSDE(3, noise)._integrals(high, low)
    tolerance = 1e-9 * (high - low)  # the difference ratio - 1 rounds in the sum
    np.testing.assert_allclose(found[0], weight @ ratio, rtol=1e-9, atol=1e-3 * tolerance)
    np.testing.assert_allclose(
        found[1], weight @ (ratio * (k - high)), rtol=1e-9, atol=1e-3 * tolerance
    )


def test_short_steps_do_not_cancel():
    """phi = k: the integrals are k_s log(k_t/k_s) - (k_t - k_s), about -h^2 / (2 k)."""
    for h in (1e-3, 1e-6, 1e-9):
        first, second = ERSDE(3, NoiseScale.ODE)._integrals(1.0 + h, 1.0)
        np.testing.assert_allclose(first, -(h**2) / 2, rtol=2 * h + 1e-6)
        np.testing.assert_allclose(second, h**3 / 6, rtol=2 * h + 1e-6)


def test_one_term_is_ddim():
    for grid in (VP, ENDED):
        assert_alike(sample(ERSDE(1, NoiseScale.ODE), grid), sample(DDIM(), grid))
        assert_alike(sample(ERSDE(1, NoiseScale.SDE), grid), sample(DDIM(1.0), grid))


@pytest.mark.parametrize("noise", NoiseScale)
def test_noise_fills_the_variance(noise):
    """k_s^2 - r^2 k_t^2 of the published phi; nothing is drawn into sigma = 0."""
    grid = Karras(7.0, 0.2, 5.0, Final.ZERO).grid(Linear(), 6)
    rows = ERSDE(1, noise).rows(grid)
    phi, k = SCALES[noise], grid.sigma / grid.alpha
    for step in range(grid.steps - 1):
        variance = k[step + 1] ** 2 - (phi(k[step + 1]) / phi(k[step]) * k[step]) ** 2
        gain = rows.registers[step + 1, 0] @ rows.basis.draws[0] / grid.alpha[step + 1]
        np.testing.assert_allclose(gain**2, variance, rtol=1e-9, atol=1e-12)
    drawn = 0 if noise is NoiseScale.ODE else 1
    assert rows.draws.tolist() == [1] + [drawn] * (grid.steps - 1) + [0]


@pytest.mark.parametrize("terms", [1, 2, 3])
def test_limits_and_parametrisations(terms):
    assert_sound(ERSDE(terms))
    assert_sound(ERSDE(terms, NoiseScale.SDE_1))
    assert_invariant(ERSDE(terms))
    assert registers(ERSDE(terms)) == terms
    assert registers(ERSDE(terms), steps=1) == 1


def test_an_estimate_made_at_pure_noise_has_no_slope():
    rows = ERSDE(3).rows(Trailing().grid(Flow(), 5))
    history = rows.basis.registers[1:]
    assert [rows.registers[2, 0] @ register for register in history] == [0.0, 0.0]
    assert rows.registers[3, 0] @ history[0] != 0.0 == rows.registers[3, 0] @ history[1]
    assert rows.registers[4, 0] @ history[1] != 0.0


def test_negative_variance_is_refused():
    """phi of SDE_4 over x falls above x = 1022, and at pure noise."""
    high = Karras(7.0, 0.1, 3000.0, Final.LAST).grid(Flow(), 6)
    for grid in (high, Trailing().grid(Flow(), 5)):
        with pytest.raises(InvalidInput, match=r"NoiseScale.SDE_4 .* negative variance"):
            ERSDE(2, NoiseScale.SDE_4).rows(grid)
    assert np.isfinite(ERSDE(2, NoiseScale.SDE_4).rows(VP).registers).all()


def test_very_high_levels_do_not_overflow():
    grid = Karras(7.0, 0.1, 1e12, Final.LAST).grid(Flow(), 9)
    for noise in (NoiseScale.SDE_5, NoiseScale.SDE_3, NoiseScale.SDE_1):
        assert np.isfinite(ERSDE(3, noise).rows(grid).registers).all()


@pytest.mark.parametrize("terms", [0, 4, 1.5])
def test_values_outside_their_range_are_refused(terms):
    with pytest.raises(InvalidInput):
        ERSDE(terms)
