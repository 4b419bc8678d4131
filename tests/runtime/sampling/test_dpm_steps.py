"""What one DPM step integrates, against quadrature of the exact solution."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.compat import Compat
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.schedules import Linear
from denoisert.runtime.sampling.solvers import (
    DPMpp2M,
    DPMpp2MSDE,
    DPMpp3M,
    DPMpp3MSDE,
    DPMpp3S,
    DPMppBlocks,
    DPMSolver2M,
    DPMSolver3,
    DPMSolver3M,
    DPMSolverBlocks,
    SDEDPMSolver2M,
)
from denoisert.runtime.sampling.solvers.dpm import (
    Drift,
    Ending,
    Estimate,
    Form,
    is_end,
    length,
    shrinkage,
    weights,
)
from denoisert.runtime.sampling.solvers.dpm_blocks import block_sizes
from denoisert.runtime.sampling.solvers.dpm_fast import fast_orders
from denoisert.runtime.sampling.solvers.dpm_multistep import extrapolation

CLEAN, NOISE = Estimate.CLEAN, Estimate.NOISE
HEUN, MIDPOINT = Form.HEUN, Form.MIDPOINT
NODES, SHARES = np.polynomial.legendre.leggauss(40)
NODES, SHARES = (NODES + 1.0) / 2.0, SHARES / 2.0


def integral(function):
    """int_0^1 f(y) dy."""
    return float(SHARES @ function(NODES))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("size", [1e-9, 1e-4, 0.03, 0.3, 0.999, 1.0, 1.001, 4.0, 20.0])
def test_weights_are_exact_for_either_sign(size, sign):
    with localcontext() as context:
        context.prec = 60
        z = Decimal(sign * size)
        first = 1 - (-z).exp()
        second = 1 - first / z
        expected = [float(value) for value in (first, second, Decimal("0.5") - second / z)]
    np.testing.assert_allclose(weights(sign * size), expected, rtol=4e-15)


@pytest.mark.parametrize("z", [-3.0, -0.2, 0.1, 0.9, 5.0])
def test_weights_are_integrals_of_powers(z):
    """Of 1 and y; of the parabola y^2 it is twice the last one."""
    first, second, third = weights(z)
    moments = [integral(lambda y, k=k: z * np.exp(-z * (1 - y)) * y**k) for k in range(3)]
    np.testing.assert_allclose([first, second, 2 * third], moments, rtol=1e-13)


def levels(*half_logsnr):
    """A grid on a variance preserving path with these half log SNRs."""
    alpha, sigma = Linear().coordinates(np.exp(-np.array(half_logsnr)))
    return Grid(alpha, sigma, np.arange(float(len(half_logsnr))), 1.0, path=Linear())


def truth(grid, estimate, m, x, steps=1):
    """x after the last `steps` steps of a grid if the estimate is m(half log SNR)."""
    now, after = grid[grid.steps - steps], grid[grid.steps]
    h = after.half_logsnr - now.half_logsnr
    if estimate is CLEAN:
        source = integral(lambda y: h * np.exp(-h * (1 - y)) * m(now.half_logsnr + y * h))
        return after.sigma / now.sigma * x + after.alpha * source
    source = integral(lambda y: h * np.exp(h * (1 - y)) * m(now.half_logsnr + y * h))
    return after.alpha / now.alpha * x - after.sigma * source


def last_step(solver, grid, m, x, stages=1):
    """x after the last `stages` stages if every stage finds the estimate m, from x with history."""
    rows = solver.rows(grid)
    registers = np.zeros(rows.basis.count)
    registers[0] = x
    first = rows.stages - stages
    for i in range(1, rows.basis.count):
        registers[i] = m(grid[grid.steps - 1 - i].half_logsnr)
    for row in range(first + 1, rows.stages + 1):
        point = rows.points[row - 1]
        column = np.zeros(rows.basis.width)
        column[: len(registers)] = registers
        followed = rows.basis.denoised if is_clean(solver) else rows.basis.noise
        column[followed.argmax()] = m(point.half_logsnr)
        registers = rows.registers[row] @ column
    return registers[0]


def is_clean(solver):
    return "pp" in type(solver).__name__


LINES = [
    DPMpp2M(0, HEUN),
    DPMpp3M(0),
    DPMSolver2M(0, HEUN),
    DPMSolver3M(0),
]


@pytest.mark.parametrize("solver", LINES, ids=str)
def test_multistep_integrates_a_straight_line_exactly(solver):
    grid, x = levels(-2.0, -1.1, -0.5, 0.4, 0.9), 0.7
    estimate = CLEAN if is_clean(solver) else NOISE

    def line(half_logsnr):
        return 0.3 - 0.8 * half_logsnr

    expected = truth(grid, estimate, line, x)
    np.testing.assert_allclose(last_step(solver, grid, line, x), expected, rtol=1e-13)


@pytest.mark.parametrize("form", [MIDPOINT, HEUN])
def test_midpoint_form_is_half_of_the_first_weight(form):
    grid, x = levels(-2.0, -1.1, -0.5, 0.4), 0.7
    found = last_step(DPMpp2M(0, form), grid, lambda half_logsnr: half_logsnr, x)
    now, after = grid[2], grid[3]
    h = after.half_logsnr - now.half_logsnr
    rise = -0.5 * math.expm1(-h) if form is MIDPOINT else 1 + math.expm1(-h) / h
    expected = after.sigma / now.sigma * x + after.alpha * (
        -math.expm1(-h) * now.half_logsnr + rise * h
    )
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("solver", [DPMpp3M(0), DPMSolver3M(0)], ids=str)
def test_published_3m_takes_half_of_a_parabola(solver):
    """Why three points have order 2: y^2 is weighed like a second derivative of 2 y^2 / 2."""
    grid, x = levels(-2.0, -1.1, -0.5, 0.4, 0.9), 0.7
    start = grid[3].half_logsnr
    estimate = CLEAN if is_clean(solver) else NOISE
    missing = truth(grid, estimate, lambda at: (at - start) ** 2, 0.0)
    found = last_step(solver, grid, lambda at: (at - start) ** 2, x)
    expected = truth(grid, estimate, lambda at: 0.0 * at, x) + 0.5 * missing
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("solver", [DPMpp3S(form=HEUN), DPMSolver3(0.2, 0.7, HEUN)], ids=str)
def test_single_steps_of_three_integrate_a_parabola_exactly(solver):
    grid, x = levels(-0.5, 0.4), 0.7
    estimate = CLEAN if is_clean(solver) else NOISE

    def parabola(half_logsnr):
        return 0.2 + half_logsnr - 1.5 * half_logsnr**2

    found = last_step(solver, grid, parabola, x, stages=3)
    np.testing.assert_allclose(found, truth(grid, estimate, parabola, x), rtol=1e-13)


@pytest.mark.parametrize("kind", [DPMppBlocks, DPMSolverBlocks])
def test_blocks_of_three_integrate_a_parabola_wherever_their_points_are(kind):
    grid, x, solver = levels(-0.9, -0.1, 0.2, 0.6), 0.7, kind(3, HEUN, Ending.FULL)
    estimate = CLEAN if is_clean(solver) else NOISE

    def parabola(half_logsnr):
        return 0.2 + half_logsnr - 1.5 * half_logsnr**2

    found = last_step(solver, grid, parabola, x, stages=3)
    np.testing.assert_allclose(found, truth(grid, estimate, parabola, x, 3), rtol=1e-13)


def test_extrapolation_is_of_differences_and_ignores_infinite_steps():
    w = weights(0.7)
    for ratios in ((1.3,), (0.8, 1.9)):
        assert abs(sum(extrapolation(w, ratios, HEUN))) < 1e-15
    assert extrapolation(w, (0.0,), MIDPOINT) == (0.0, 0.0)
    near = extrapolation(w, (0.8, 0.0), HEUN)
    np.testing.assert_allclose(near, (*extrapolation(w, (0.8,), HEUN), 0.0), rtol=1e-15)


@pytest.mark.parametrize("estimate", Estimate)
def test_a_step_and_its_way_back_cancel(estimate):
    """Rising noise levels need nothing special; the estimate stays the same."""
    high, low = levels(-1.0, 0.8)[0], levels(-1.0, 0.8)[1]
    drift = Drift(estimate)
    kept, gain = drift.keep(high, low)
    kept_back, gain_back = drift.keep(low, high)
    np.testing.assert_allclose(kept_back * kept, 1.0, rtol=1e-15)
    np.testing.assert_allclose(kept_back * gain + gain_back, 0.0, atol=1e-15)
    down, up = drift.weights(high, low), drift.weights(low, high)
    # integral of 1 - y on the way back: y counts from the other end
    np.testing.assert_allclose(kept_back * (down[0] - down[1]), -up[1], rtol=1e-13)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_steps_on_a_constant_estimate_may_be_cut(eta):
    a, b, c = (levels(-1.0, 0.1, 0.8)[i] for i in range(3))
    drift = Drift(CLEAN, eta)
    (k_1, g_1), (k_2, g_2), (k, g) = drift.keep(a, b), drift.keep(b, c), drift.keep(a, c)
    np.testing.assert_allclose((k_2 * k_1, k_2 * g_1 + g_2), (k, g), rtol=1e-14)


def test_ends_are_points_of_infinite_log_snr():
    grid = Grid(np.array([0.0, 0.6, 1.0]), np.array([1.0, 0.8, 0.0]), np.zeros(3), 1.0)
    assert [is_end(grid[i]) for i in range(3)] == [True, False, True]
    assert [length(grid[i], grid[i + 1]) for i in range(2)] == [math.inf, math.inf]
    assert shrinkage(grid[0], grid[1]) == shrinkage(grid[1], grid[2]) == 0.0
    assert Drift(CLEAN, 1.0).keep(grid[0], grid[1]) == (0.0, 0.6)
    assert Drift(CLEAN).keep(grid[1], grid[2]) == (0.0, 1.0)


def test_compat_moves_the_last_weight_of_noisy_steps_alone():
    now, after = levels(-1.0, 0.3)[0], levels(-1.0, 0.3)[1]
    for eta, shift in ((0.0, 0.0), (1.0, 1.0)):
        right = Drift(CLEAN, eta).weights(now, after)
        theirs = Drift(CLEAN, eta, 1.0, Compat.DIFFUSERS).weights(now, after)
        np.testing.assert_allclose(right[:2], theirs[:2], rtol=0)
        np.testing.assert_allclose(right[2] - theirs[2], shift * after.alpha, atol=1e-15)
    grid = levels(-1.0, -0.2, 0.1, 0.8)
    paper, diffusers = (DPMpp3MSDE(compat=each).rows(grid) for each in Compat)
    np.testing.assert_array_equal(paper.registers[:3], diffusers.registers[:3])
    assert not np.allclose(paper.registers[3], diffusers.registers[3])


def test_orders_of_blocks_are_those_of_diffusers():
    low = Ending.LOWERED
    assert block_sizes(12, 2, low) == [2, 2, 2, 2, 2, 1, 1]
    assert block_sizes(13, 2, low) == [2, 2, 2, 2, 2, 2, 1]
    assert block_sizes(12, 3, low) == [3, 3, 3, 2, 1]
    assert block_sizes(13, 3, low) == [3, 3, 3, 3, 1]
    assert block_sizes(14, 3, low) == [3, 3, 3, 3, 2]
    assert block_sizes(5, 1, low) == [1] * 5
    assert [block_sizes(n, 3, low) for n in (1, 2, 3)] == [[1], [2], [2, 1]]
    assert [block_sizes(n, 2, low) for n in (1, 2, 3)] == [[1], [1, 1], [2, 1]]
    assert block_sizes(12, 3, Ending.FULL) == [3] * 4
    with pytest.raises(InvalidInput, match="no whole number of blocks"):
        block_sizes(13, 3, Ending.FULL)


def test_fast_orders_use_up_the_evaluations():
    assert [fast_orders(n) for n in range(5)] == [[], [1], [2], [2, 1], [3, 1]]
    assert fast_orders(10) == [3, 3, 3, 1]
    assert fast_orders(12) == [3, 3, 3, 2, 1]
    assert all(sum(fast_orders(n)) == n for n in range(40))


def test_noise_gains_of_one_step():
    """By hand: VP steps of DPMpp2MSDE and SDEDPMSolver2M, with and without noise_scale."""
    grid = levels(-0.7, 0.2)
    now, after = grid[0], grid[1]
    h, eta = 0.9, 0.6
    cases = {
        DPMpp2MSDE(eta, 1.5): after.sigma * math.sqrt(1 - math.exp(-2 * eta * h)),
        SDEDPMSolver2M(eta, 1.5): after.sigma * math.sqrt(eta * (math.exp(2 * h) - 1)),
    }
    for solver, gain in cases.items():
        rows = solver.rows(grid)
        draw = rows.registers[1, 0, rows.basis.draws[0].argmax()]
        np.testing.assert_allclose(draw, 1.5 * gain, rtol=1e-13)
    assert now.half_logsnr < after.half_logsnr


def test_first_order_falls_back_where_a_form_has_no_limit():
    """alpha_s D + sigma_s E: out of alpha = 0 and into sigma = 0 on E, out of sigma = 0 on D."""
    pure, middle, clean = Point(0.0, 1.0, 0.0), Point(0.6, 0.8, 0.0), Point(1.0, 0.0, 0.0)
    rows = DPMpp2M().rows(levels(-1.0, 0.0))
    basis = rows.basis
    for estimate, now, after in (
        (NOISE, pure, middle),
        (NOISE, middle, clean),
        (CLEAN, clean, middle),
    ):
        found = Drift(estimate, 0.5).first(basis, now, after)
        np.testing.assert_array_equal(
            found, after.alpha * basis.denoised + after.sigma * basis.noise
        )
