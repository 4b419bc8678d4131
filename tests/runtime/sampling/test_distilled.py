"""Samplers of distilled students: variances and the noise that is kept."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import Gaussian, execute, propagate
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import (
    Cosine,
    Final,
    Flow,
    Linear,
    Trailing,
    Truncated,
)
from denoisert.runtime.sampling.solvers import DDIM, NoiseCorrected, TwoForwardOneBack
from tests.runtime.sampling.drafts import LAYOUT, draws

EPS, V, X0 = Parametrisation.EPS, Parametrisation.V, Parametrisation.X0


@pytest.mark.parametrize("schedule", [Linear(), Cosine(), Flow()], ids=str)
def test_one_back_keeps_the_marginal_of_the_point_it_goes_back_to(schedule):
    """With a point as data, E has the variance of the noise: it is sigma_s^2 after a step."""
    grid = Trailing().grid(schedule, 8)
    rows = TwoForwardOneBack().rows(grid)
    basis = rows.basis
    noise, draw = (int(unit.argmax()) for unit in (basis.noise, basis.draws[0]))
    spread = np.hypot(rows.registers[1:, 0, noise], rows.registers[1:, 0, draw])
    np.testing.assert_allclose(spread, grid.sigma[1:], rtol=1e-12, atol=1e-15)
    denoised = int(basis.denoised.argmax())
    np.testing.assert_allclose(rows.registers[1:, 0, denoised], grid.alpha[1:], rtol=1e-12)
    assert fold(rows, V, Unguided()).nfe == 8
    assert rows.draws.tolist() == [1] * 8 + [0]


def test_its_variance_on_gaussian_data_converges_to_first_order():
    errors = []
    for steps in (48, 96, 192):
        grid = Trailing(Final.LAST).grid(Linear(), steps)
        table = fold(TwoForwardOneBack().rows(grid), V, Unguided())
        found = propagate(table, [Gaussian(0.0, 0.25)], V).covariance[0, 0]
        errors.append(abs(found - (0.25 * grid.alpha[-1] ** 2 + grid.sigma[-1] ** 2)))
    assert errors[-1] < 0.03
    np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 1.0, atol=0.3)


def test_the_first_step_does_not_see_the_networks_error_in_the_noise():
    """An x0 head plus a bias: DDIM carries -sigma_s alpha_t / sigma_t bias, the correction none."""
    grid, noise = Trailing().grid(Linear(), 3), draws(4)
    data = np.linspace(-1, 1, LAYOUT.elements)

    def biased(bias):
        def answer(latent, time, condition):
            return data + bias * (time == grid[0].model_time)

        return answer

    def end(solver, bias):
        rows = solver.rows(grid)
        first = fold(rows, X0, Unguided())
        return execute(first, LAYOUT, biased(bias), noise)

    # An eps head instead: at the first stage D and E err together.
    now, after = grid[0], grid[1]
    for solver, expected in (
        (NoiseCorrected(), after.alpha * -now.sigma / now.alpha),
        (DDIM(), after.alpha * -now.sigma / now.alpha + after.sigma),
    ):
        table = fold(solver.rows(grid), EPS, Unguided())
        row = table.matrix[1, table.form.register_row(0)]
        assert row[table.form.branch(0)] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(end(NoiseCorrected(), 0.0).latent, data, atol=1e-12)


def test_it_is_ddim_after_the_first_step_and_at_pure_noise_altogether():
    grid = Trailing().grid(Flow(), 3)
    found, ddim = (fold(s.rows(grid), V, Unguided()) for s in (NoiseCorrected(), DDIM()))
    np.testing.assert_allclose(found.matrix, ddim.matrix, atol=1e-15)
    grid = Trailing().grid(Linear(), 3)
    found, ddim = NoiseCorrected().rows(grid), DDIM().rows(grid)
    np.testing.assert_allclose(found.registers[2:], ddim.registers[2:], rtol=1e-13)
    assert np.abs(found.registers[1] - ddim.registers[1]).max() > 0.1


def test_a_start_that_is_no_noise_is_refused():
    grid = Trailing().grid(Flow(), 4)
    for known in (grid.tail(0.5), Truncated(Trailing(), 1.0).grid(Flow(), 4)):
        with pytest.raises(InvalidInput, match=r"starts from a source latent\. Use DDIM"):
            NoiseCorrected().rows(known)


def test_one_step_and_registers():
    for solver in (NoiseCorrected(), TwoForwardOneBack()):
        for steps in (1, 2, 3):
            table = fold(solver.rows(Trailing().grid(Flow(), steps)), V, Unguided())
            assert (table.form.registers, table.nfe) == (1, steps)
