"""Running solvers backwards: there and back, at the order that each has."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import (
    between_levels,
    execute,
    network,
    strong_errors,
)
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Final, Flow, Karras, Linear, Trailing
from denoisert.runtime.sampling.solvers import (
    BDIA,
    DDIM,
    EDICT,
    DPMpp2M,
    DPMpp2MSDE,
    DPMSolver2M,
    Euler,
    EulerAncestral,
    FlowEuler,
    Heun,
    Inverse,
    Latents,
    NoiseEncoder,
    NoiseReplay,
    Told,
)
from tests.oracles import pair
from tests.oracles.pair import tanh_network
from tests.runtime.sampling.trials import DATA, LAYOUT, by_index, on

EPS, V, FLOW = Parametrisation.EPS, Parametrisation.V, Parametrisation.FLOW
GRID = Trailing(Final.LAST).grid(Linear(), 12)


def random_network(seed):
    """Nobody's denoiser: no solver's accuracy hides a wrong coefficient."""
    answer, size = tanh_network(np.random.default_rng(seed)), pair.LAYOUT.elements

    def padded(latent, time, condition):
        return np.concatenate([answer(latent[:size], time), np.tanh(latent[size:] + time / 500)])

    return padded


def picture(seed):
    return np.random.default_rng(seed).standard_normal(LAYOUT.elements)


def run(solver, grid, answer, externals, draws=(), parametrisation=EPS):
    noise = list(draws) or [np.zeros(LAYOUT.elements)]
    table = fold(solver.rows(grid), parametrisation, Unguided())
    return execute(table, LAYOUT, answer, noise, externals)


@pytest.mark.parametrize("p", [0.93, 0.8, 1.0])
@pytest.mark.parametrize("parametrisation", [EPS, V])
def test_edict_comes_back_exactly(p, parametrisation):
    answer, given = random_network(1), picture(2)
    up = run(Inverse(EDICT(p)), GRID, answer, {"source": given}, (), parametrisation)
    assert np.abs(up.latent - given).max() > 0.1
    pair = {"source": up.latent, "second": up.tapes[0][0]}
    down = run(EDICT(p, Latents.PAIR), GRID, answer, pair, (), parametrisation)
    np.testing.assert_allclose(down.latent, given, rtol=0, atol=1e-11)
    assert up.evaluations == down.evaluations == 24


@pytest.mark.parametrize("gamma", [1.0, 0.5])
@pytest.mark.parametrize("final", list(Final)[:2])
def test_bdia_comes_back_exactly(gamma, final):
    answer, given = random_network(3), picture(4)
    grid = Trailing(final).grid(Linear(), 8)
    up = run(Inverse(BDIA(gamma)), grid, answer, {"source": given})
    pair = {"source": up.latent, "second": up.tapes[0][0]}
    down = run(BDIA(gamma, Latents.PAIR), grid, answer, pair)
    np.testing.assert_allclose(down.latent, given, rtol=0, atol=1e-11 * np.abs(up.latent).max())
    assert up.evaluations == 8
    assert down.evaluations == 7


def test_edict_is_the_papers():
    """Written out for a pair of latents, equations 12 and 13."""
    answer, (x, y) = random_network(5), (picture(6), picture(7))
    pair, p = {"source": x, "second": y}, 0.9
    found = run(EDICT(p, Latents.PAIR), GRID, answer, pair).latent
    for step in range(12):
        now, after = GRID[step], GRID[step + 1]
        a = after.alpha / now.alpha
        b = after.sigma - a * now.sigma
        x_mid = a * x + b * answer(y, now.model_time, 0)
        y_mid = a * y + b * answer(x_mid, now.model_time, 0)
        x = p * x_mid + (1 - p) * y_mid
        y = p * y_mid + (1 - p) * x
    np.testing.assert_allclose(found, x, rtol=0, atol=1e-12 * np.abs(x).max())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_bdia_is_the_papers(gamma):
    """z_{i-1} = gamma (z_{i+1} - z_i) - gamma delta_back + z_i + delta_forward."""
    answer, x = random_network(8), picture(9)
    found = run(BDIA(gamma), GRID, answer, {}, [x]).latent

    def move(z, eps, now, to):
        a = to.alpha / now.alpha
        return a * z + (to.sigma - a * now.sigma) * eps - z

    before = None
    for step in range(12):
        now, eps = GRID[step], answer(x, GRID[step].model_time, 0)
        forward = move(x, eps, now, GRID[step + 1])
        if before is None:
            after = x + forward
        else:
            back = move(x, eps, now, GRID[step - 1])
            after = gamma * (before - x) - gamma * back + x + forward
        before, x = x, after
    np.testing.assert_allclose(found, x, rtol=0, atol=1e-12 * np.abs(x).max())


def level_grid(steps):
    levels = np.geomspace(0.1, 10, steps + 1)[::-1]
    alpha, sigma = Linear().coordinates(levels)
    return by_index(Grid(alpha, sigma, alpha, 1.0))


@pytest.mark.parametrize(
    ("solver", "told", "order"),
    [
        (DDIM(), Told.OWN, 1),
        (DDIM(), Told.NEXT, 1),
        (Euler(), Told.OWN, 1),
        (DPMpp2M(0), Told.OWN, 2),
        (DPMSolver2M(0), Told.OWN, 2),
    ],
    ids=str,
)
def test_inverting_comes_back_at_the_solvers_order(solver, told, order):
    errors = []
    for steps in (48, 96, 192):
        grid, lookup = level_grid(steps)
        answer = network([DATA], EPS, lookup)
        given = grid.alpha[-1] * picture(10) / 3
        up = run(Inverse(solver, told), grid, answer, {"source": given}).latent
        down = run(solver, grid, answer, {}, [up]).latent
        errors.append(np.abs(down - given).max())
    np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), order, atol=0.25)


@pytest.mark.parametrize(("solver", "order"), [(BDIA(1.0), 2), (BDIA(0.5), 1), (EDICT(), 1)])
def test_orders_of_the_way_down(solver, order):
    grids = between_levels(Linear(), 10.0, 0.1)
    found = strong_errors(solver, grids, DATA, picture(14), (96, 192, 384))
    np.testing.assert_allclose(found.slopes, order, atol=0.25)


def test_flow_euler_and_euler_have_ddims_way_up():
    grid = Trailing().grid(Flow(), 5)
    rows = [Inverse(solver).rows(grid).registers for solver in (DDIM(), Euler(), FlowEuler())]
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[0], rows[2])


def test_the_network_is_told_the_upper_time_or_its_own_where_it_has_one():
    grid = Trailing().grid(Linear(), 4)
    assert [point.model_time for point in Inverse(DDIM()).rows(grid).points] == [249, 499, 749, 999]
    own = Inverse(DDIM(), Told.OWN).rows(grid).points
    assert [point.model_time for point in own] == [249, 249, 499, 749]


@pytest.mark.parametrize("eta", [1.0, 0.4])
def test_recorded_noise_replays_the_path(eta):
    """Same network: the encoded path to rounding. Another network: another picture."""
    grid = Karras(7.0, 0.02, 40.0).grid(Linear(), 12)
    answer = network([DATA], EPS, on(Linear()))
    rng = np.random.default_rng(11)
    draws = list(rng.standard_normal((13, LAYOUT.elements)))
    given = picture(12)
    encoded = run(NoiseEncoder(eta), grid, answer, {"source": given}, draws)
    pages = encoded.tapes[0]
    assert sorted(pages) == list(range(12))
    recorded = np.stack([pages[page] for page in range(12)])
    replayed = run(NoiseReplay(eta), grid, answer, {"recorded": recorded})
    np.testing.assert_allclose(replayed.latent, encoded.latent, rtol=0, atol=1e-11)
    # Noise of the data's own posterior is a little larger than the model's: not variance 1.
    assert np.mean(recorded[1:] ** 2) > 1.0
    other = run(NoiseReplay(eta), grid, random_network(13), {"recorded": recorded})
    assert np.abs(other.latent - encoded.latent).max() > 0.1


def test_the_encoded_path_has_the_forward_marginals():
    """Points as data: x_s is alpha_s x0 plus noise of sigma_s, whatever the network says."""
    grid = Karras(7.0, 0.02, 40.0, Final.LAST).grid(Linear(), 6)
    rows = NoiseEncoder(0.7).rows(grid)
    variance, mean = grid.sigma[0] ** 2, grid.alpha[0]
    basis = rows.basis
    x, n, source = (
        int(unit.argmax()) for unit in (basis.registers[0], basis.draws[0], basis.external(0))
    )
    for step in range(6):
        row = rows.registers[step + 1, 0]
        mean, variance = row[x] * mean + row[source], row[x] ** 2 * variance + row[n] ** 2
        if step < 5:
            np.testing.assert_allclose(
                (mean, variance), (grid.alpha[step + 1], grid.sigma[step + 1] ** 2), rtol=1e-9
            )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Inverse(Heun()), r"Heun\(\) cannot be inverted\. Solvers that can: DDIM"),
        (lambda: Inverse(EulerAncestral()), "cannot be inverted"),
        (lambda: Inverse(DPMpp2MSDE()).rows(GRID), "as it draws noise"),
        (lambda: Inverse(DDIM(0.5)).rows(GRID), "as it draws noise.*NoiseEncoder"),
        (lambda: Inverse(BDIA(0.0)).rows(GRID), "which has no exact inverse"),
        (lambda: EDICT().rows(Trailing().grid(Flow(), 4)), "divide by alpha, which is 0"),
        (lambda: BDIA().rows(Trailing().grid(Flow(), 4)), "divide by alpha, which is 0"),
        (lambda: EDICT(0.0), "p 0.0 must be in"),
        (lambda: BDIA(1.5), "gamma 1.5 is outside"),
        (lambda: NoiseEncoder(0.0), "eta 0.0 is outside 0"),
        (lambda: NoiseReplay(2.0), "eta 2.0 is outside 0"),
    ],
)
def test_what_has_no_way_back_is_refused(build, message):
    with pytest.raises(InvalidInput, match=message):
        build()
