"""Densities of what samplers produce, against closed forms and the limit of many steps."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import (
    Gaussian,
    Mixture,
    affine_log_density,
    between_times,
    compose,
    follow,
    preimage,
    propagate,
    pushed,
    solve,
    table_map,
)
from denoisert.runtime.sampling.oracle.likelihood import jacobian
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Flow
from denoisert.runtime.sampling.solvers import DDIM, DPMpp2M, FlowHeun, Heun
from tests.runtime.sampling.programs import angles, ddim
from tests.runtime.sampling.trials import DATA

X0 = Parametrisation.X0
NOISE = np.random.default_rng(1).standard_normal(40)
LINE = Mixture(np.array([0.4, 0.6]), np.array([[-1.0], [0.8]]), np.array([0.1, 0.3]))


def normal(x, mean, variance):
    return -0.5 * ((x - mean) ** 2 / variance + np.log(2 * np.pi * variance))


def table_on(solver, grid):
    return fold(solver.rows(grid), X0, Unguided())


@pytest.mark.parametrize("solver", [DDIM(), Heun(), DPMpp2M()], ids=str)
def test_a_linear_map_has_the_density_of_its_moments(solver):
    data = Gaussian(np.linspace(-1, 1, 40), np.linspace(0.1, 2, 40))
    table = table_on(solver, angles(6, first=1.4))
    composed = compose(table, [data], X0)
    assert composed.gains.shape[1] == 1
    x = composed.offset[0] + composed.gains[0, 0] * NOISE
    found = affine_log_density(composed, x)
    by_volume = normal(NOISE, 0, 1) - np.log(np.abs(composed.gains[0, 0]))
    np.testing.assert_allclose(found, by_volume, rtol=1e-12, atol=1e-12)
    moments = propagate(table, [data], X0)
    expected = normal(x, moments.mean[0], moments.covariance[0, 0])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_with_many_steps_it_is_the_density_of_the_data():
    data, x, errors = Gaussian(0.7, 0.25), np.linspace(-1, 2, 7), []
    for steps in (40, 80, 160):
        table = table_on(FlowHeun(), between_times(Flow(), 1.0, 0.0)(steps))
        errors.append(np.abs(affine_log_density(compose(table, [data], X0), x)
                             - data.log_density(x, 1.0, 0.0)).max())  # fmt: skip
    assert errors[-1] < 1e-3
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 2.0, atol=0.25)


def test_noise_on_the_way_widens_the_density():
    table = fold(ddim(angles(5, first=1.4), 1.0), X0, Unguided())
    data = [Gaussian(0.7, 0.25)]
    moments = propagate(table, data, X0)
    found = affine_log_density(compose(table, data, X0), np.array([0.2]))
    expected = normal(0.2, moments.mean[0], moments.covariance[0, 0])
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    with pytest.raises(InvalidInput, match="no map of its first one"):
        table_map(table, data, X0)


def test_differences_agree_with_the_composed_map():
    data = Gaussian(np.linspace(-1, 1, 40), np.linspace(0.1, 2, 40))
    table = table_on(Heun(), angles(6, first=1.4))
    mapping, composed = table_map(table, [data], X0), compose(table, [data], X0)
    one_by_one = pushed(mapping, NOISE, 1)
    expected = affine_log_density(composed, one_by_one.latent)
    np.testing.assert_allclose(one_by_one.log_density, expected, rtol=0, atol=1e-9)
    in_fours = pushed(mapping, NOISE, 4)
    expected = expected.reshape(-1, 4).sum(axis=1)
    np.testing.assert_allclose(in_fours.log_density, expected, rtol=0, atol=1e-8)


def test_the_jacobian_of_a_known_map():
    matrix = np.array([[1.0, -2.0], [0.5, 3.0]])

    def mapping(x):
        return np.tanh(x.reshape(-1, 2) @ matrix.T).ravel()

    x = np.random.default_rng(2).standard_normal(6)
    slopes = 1 - mapping(x).reshape(-1, 2, 1) ** 2
    np.testing.assert_allclose(jacobian(mapping, x, 2), slopes * matrix, rtol=0, atol=1e-9)


def test_a_density_through_a_nonlinear_map_integrates_to_one():
    """Four steps are far from the data's density, and yet a density."""
    table = table_on(DPMpp2M(), between_times(Flow(), 1.0, 0.05)(4))
    xi = np.linspace(-7, 7, 20_001)
    found = pushed(table_map(table, [LINE], X0), xi, 1)
    assert np.all(np.diff(found.latent) > 0)
    assert np.trapezoid(np.exp(found.log_density), found.latent) == pytest.approx(1.0, abs=1e-6)
    error = np.abs(found.log_density - LINE.log_density(found.latent, 0.95, 0.05))
    assert error[np.abs(xi) < 2].max() > 0.05


@pytest.mark.parametrize("solver", [DDIM(), FlowHeun()], ids=str)
def test_on_a_mixture_it_reaches_the_density_of_the_ode(solver):
    errors = []
    for steps in (40, 80, 160):
        table = table_on(solver, between_times(Flow(), 1.0, 0.02)(steps))
        found = pushed(table_map(table, [DATA], X0), NOISE, 2)
        truth = DATA.log_density(found.latent, 0.98, 0.02)
        errors.append(np.sqrt(np.mean((found.log_density - truth) ** 2)))
    slopes = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(slopes, solver.order, atol=0.3)
    assert errors[-1] < 0.02 * 2 * (3 if solver.order == 1 else 1)  # 0.02 nats per dimension


def test_the_flow_itself_has_the_density_of_the_data():
    ends = Point(0.0, 1.0, 0.0), Point(0.9, 0.1, 0.0)
    found = pushed(lambda x: follow(DATA, x, *ends, 200), NOISE, 2)
    truth = DATA.log_density(found.latent, 0.9, 0.1)
    np.testing.assert_allclose(found.log_density, truth, rtol=0, atol=1e-6)


def test_the_noise_of_a_latent_is_found_again():
    grid = between_times(Flow(), 1.0, 0.05)(12)
    mapping = table_map(table_on(Heun(), grid), [DATA], X0)
    latent = DATA.sample(np.random.default_rng(3), 20, 0.95, 0.05)
    guess = follow(DATA, latent, grid[12], grid[0], 100)
    noise = preimage(mapping, latent, guess, 2)
    np.testing.assert_allclose(mapping(noise), latent, rtol=0, atol=1e-10)
    assert np.abs(noise - guess).max() > 1e-4


def test_a_map_that_reaches_no_such_latent_is_refused():
    with pytest.raises(InvalidInput, match="closer guess"):
        preimage(lambda x: x**2 + 1.0, np.array([-3.0]), np.array([0.7]), 1)


def test_externals_reach_the_map():
    grid = angles(4, first=1.2).tail(1.0)
    table = table_on(DDIM(), grid)
    source = np.random.default_rng(4).standard_normal((1, 40))
    found = table_map(table, [DATA], X0, {"source": source})(NOISE)
    expected = solve(table, [DATA], X0, [NOISE], {"source": source}).latent
    np.testing.assert_array_equal(found, expected)


def test_a_start_of_another_deviation_is_counted():
    grid = Grid(np.array([1.0, 1.0]), np.array([3.0, 1.0]), np.zeros(2), 3.0)
    data = Gaussian(0.0, 1.0)
    found = pushed(table_map(table_on(DDIM(), grid), [data], X0), NOISE, 1)
    gain = 3.0 * (1 + 3.0 * 1.0) / (1 + 9.0)  # x = D + E from 3 xi, in both estimates
    np.testing.assert_allclose(found.latent, gain * NOISE, rtol=1e-12)
    np.testing.assert_allclose(found.log_density, normal(NOISE, 0, 1) - np.log(gain), atol=1e-9)
