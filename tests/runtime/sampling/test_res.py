"""RES and res_multistep: order, equalities, weak order, limits."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.oracle import Gaussian, between_levels, weak_errors
from denoisert.runtime.sampling.schedules import VE, Linear
from denoisert.runtime.sampling.solvers import DDIM, RES, RESMultistep, Slope, UniPC
from denoisert.runtime.sampling.solvers.unipc import Corrector, Ending
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

EVERY = [RES(order) for order in (1, 2, 3, 4)]


@pytest.mark.parametrize("solver", EVERY, ids=str)
def test_order_where_first_steps_are_short(solver):
    np.testing.assert_allclose(slopes(solver), solver.order, atol=0.25)


def test_equalities():
    for grid in (VP, ENDED):
        assert_alike(sample(RES(1), grid), sample(DDIM(), grid))
        assert_alike(sample(RESMultistep(), grid), sample(RES(2), grid))
        for order in (2, 3):
            unip = UniPC(order, Slope.EXACT, corrector=Corrector.OFF, ending=Ending.FULL)
            assert_alike(sample(unip, grid), sample(RES(order), grid))


def test_full_noise_in_one_step_is_the_posterior():
    """The first step of res_multistep is the ancestral step, DDIM's with its full noise."""
    one = RESMultistep(1.0).rows(VP).registers[1, 0]
    other = DDIM(1.0).rows(VP).registers[1, 0]
    point, basis, small = VP[0], RESMultistep(1.0).rows(VP).basis, DDIM(1.0).rows(VP).basis
    clean = one @ basis.denoised + point.alpha * one @ basis.registers[0]
    np.testing.assert_allclose(clean, other @ small.denoised, rtol=1e-12)
    noise = point.sigma * one @ basis.registers[0]
    np.testing.assert_allclose(noise, other @ small.noise, rtol=1e-12)
    np.testing.assert_allclose(one @ basis.draws[0], other @ small.draws[0], rtol=1e-12)


def test_the_slope_is_measured_between_the_estimate_and_the_noised_point():
    """r = log(down' / sv_t') / h with eta = 1: down = sv_s^2 / sv_t."""
    rows = RESMultistep(1.0).rows(VP)
    first, now, after = (VP[step].sigma_ve for step in (3, 4, 5))
    h = 2 * np.log(now / after)  # log(sv_t / down)
    r = np.log(now**2 / first / first) / h
    mean = (h - 1 + np.exp(-h)) / h
    found = rows.registers[5, 0] @ rows.basis.registers[1]
    np.testing.assert_allclose(found, VP[5].alpha * mean / r, rtol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("path", [VE(), Linear()], ids=str)
def test_weak_order(eta, path):
    grids = between_levels(path, 10.0, 0.1)
    found = weak_errors(RESMultistep(eta), grids, Gaussian(0.7, 0.25), (32, 64, 128))
    np.testing.assert_allclose(found.slopes, 2.0, atol=0.25)


@pytest.mark.parametrize("solver", [*EVERY, RESMultistep(), RESMultistep(1.0)], ids=str)
def test_limits_and_parametrisations(solver):
    assert_sound(solver)
    assert_invariant(solver)
    assert registers(solver) == (2 if isinstance(solver, RESMultistep) else solver.order)


def test_draws():
    assert RESMultistep(1.0).rows(ENDED).draws.tolist() == [1] * 9 + [0]
    assert RESMultistep(0.0).rows(ENDED).draws.tolist() == [1] + [0] * 9


def test_lower_order_at_the_end():
    rows = RES(4, lower_order_below=10).rows(VP)
    used = [
        [float(row[0] @ unit) != 0.0 for unit in rows.basis.registers] for row in rows.registers
    ]
    assert [sum(flags) for flags in used[1:]] == [1, 2, 3, 4, 4, 4, 3, 2, 1]


@pytest.mark.parametrize("build", [lambda: RES(0), lambda: RES(2, -1), lambda: RESMultistep(1.1)])
def test_values_outside_their_range_are_refused(build):
    with pytest.raises(InvalidInput):
        build()
