"""DPM-Solver-v3 on random statistics beside a loop like the published one, and in its limits."""

import math

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Flow, Linear, Trailing
from denoisert.runtime.sampling.solvers import RES, Corrector, Derivatives, DPMSolverV3, Ending
from denoisert.runtime.sampling.solvers.model_statistics import Statistics
from tests.oracles.pair import LAYOUT, SHAPE, tanh_network
from tests.runtime.sampling.multistep_trials import VP, assert_alike
from tests.runtime.sampling.parity.exponential import estimates

EPS, V, X0, FLOW = (Parametrisation(name) for name in ("eps", "v", "x0", "flow"))
FITTED, DIVIDED = Derivatives
KNOTS = np.linspace(-2.0, 3.0, 61)


def random_statistics(seed=0):
    """Nothing like a network's: smooth, different in every element and far from degenerate."""
    rng = np.random.default_rng(seed)
    waves = rng.uniform(0.2, 1.5, (3, LAYOUT.elements))
    shifts = rng.uniform(0, 6, (3, LAYOUT.elements))
    linear, scale, bias = np.sin(KNOTS[:, None, None] * waves + shifts).transpose(1, 0, 2)
    return Statistics(KNOTS, 0.5 + 0.4 * linear, 0.5 * scale, 0.7 * bias)


def on_knots(indexes, schedule=None):
    """A grid through some of the knots."""
    alpha, sigma = (schedule or Linear()).coordinates(np.exp(-KNOTS[list(indexes)]))
    return Grid(alpha, sigma, 100.0 * np.arange(len(alpha))[::-1], 1.0)


UNEVEN = (0, 8, 15, 24, 30, 41, 47, 60)
GRID = on_knots(UNEVEN)


def cumulative(values):
    pieces = 0.5 * np.diff(KNOTS)[:, None] * (values[1:] + values[:-1])
    return np.concatenate([np.zeros_like(values[:1]), np.cumsum(pieces, axis=0)])


def derivatives(levels, g, is_divided):
    """g', g'', .. at the first level."""
    n = len(levels) - 1
    if n == 0:
        return []
    if is_divided:
        table = [list(g)]
        for i in range(1, n + 1):
            table.append(
                [
                    (table[-1][j] - table[-1][j + 1]) / (levels[j] - levels[i + j])
                    for j in range(n - i + 1)
                ]
            )
        return [table[i][0] * math.factorial(i) for i in range(1, n + 1)]
    matrix = np.array([[(x - levels[0]) ** i for i in range(1, n + 1)] for x in levels[1:]])
    solved = np.linalg.solve(matrix, np.array(g[1:]) - g[0])
    return [solved[i] * math.factorial(i + 1) for i in range(n)]


class Published:
    """Cumulative integrals from the first knot, and the update that is made of them."""

    def __init__(self, grid, indexes, statistics):
        self.grid, self.indexes, self.linear = grid, indexes, statistics.linear
        self.l, self.s = cumulative(statistics.linear), cumulative(statistics.scale)
        kernel = np.exp(self.l + self.s)
        self.i, self.b = cumulative(kernel), cumulative(np.exp(-self.s) * statistics.bias)
        self.c = cumulative(kernel * self.b)

    def value(self, node, x, noise, origin):
        """g of a node for an update from the index origin."""
        i, point = self.indexes[node], self.grid[node]
        f = (point.sigma * noise - self.linear[i] * x) / point.alpha
        shift = np.exp(self.s[origin]) * (self.b[i] - self.b[origin])
        return np.exp(self.s[origin] - self.s[i]) * f - shift

    def moment(self, origin, end, n):
        inside = slice(origin, end + 1)
        power = (KNOTS[inside] - KNOTS[origin])[:, None] ** n / math.factorial(n)
        exponent = self.l[inside] + self.s[inside] - self.l[origin] - self.s[origin]
        values = np.exp(exponent) * power
        return np.sum(0.5 * np.diff(KNOTS[inside])[:, None] * (values[1:] + values[:-1]), axis=0)

    def advance(self, xs, noises, nodes, target, is_divided):
        o, t = self.indexes[nodes[0]], self.indexes[target]
        g = [self.value(node, xs[node], noises[node], o) for node in nodes]
        alpha = self.grid[target].alpha
        x = alpha / self.grid[nodes[0]].alpha * np.exp(self.l[o] - self.l[t]) * xs[nodes[0]]
        x = x - alpha * np.exp(-self.l[t] - self.s[o]) * (self.i[t] - self.i[o]) * g[0]
        rest = self.c[t] - self.c[o] - self.b[o] * (self.i[t] - self.i[o])
        x = x - alpha * np.exp(-self.l[t]) * rest
        levels = [KNOTS[self.indexes[node]] for node in nodes]
        for n, slope in enumerate(derivatives(levels, g, is_divided), 1):
            x = x - alpha * np.exp(self.l[o] - self.l[t]) * self.moment(o, t, n) * slope
        return x


def published(solver, grid, indexes, parametrisation, statistics, setting):
    """The loop: states and noise estimates kept, x corrected, its noise estimate made to fit."""
    network, x = setting
    method = Published(grid, indexes, statistics)
    xs, noises, order = [], [], 0
    for step in range(grid.steps):
        now, linear = grid[step], statistics.linear[indexes[step]]
        output = network(x.reshape(SHAPE), now.model_time).reshape(-1)
        xs.append(x)
        noises.append(estimates(x, output, now, parametrisation)[1])
        corrected = order + (solver.corrector_derivatives is DIVIDED)
        if solver.corrector is Corrector.ON and corrected > 1:
            nodes = [step - 1, step, *range(step - 2, step - corrected, -1)]
            is_divided = solver.corrector_derivatives is DIVIDED
            new = method.advance(xs, noises, nodes, step, is_divided)
            old = now.sigma * noises[-1] - linear * xs[-1]
            xs[-1], noises[-1] = new, (old + linear * new) / now.sigma
        order = min(step + 1, solver.order)
        if solver.ending is Ending.LOWERED:
            order = min(order, grid.steps - step)
        nodes = list(range(step, step - order, -1))
        x = method.advance(xs, noises, nodes, step + 1, solver.derivatives is DIVIDED)
    return x


def sample(solver, grid, parametrisation, statistics, setting, guidance=None):
    network, noise = setting
    table = fold(solver.rows(grid), parametrisation, guidance or Unguided())
    arrays = solver.externals(grid, statistics)
    assert set(arrays) == set(table.externals)

    def answer(latent, time, _):
        return network(latent.reshape(SHAPE), time).reshape(-1)

    return execute(table, LAYOUT, answer, [noise], arrays).latent


def draw(seed):
    rng = np.random.default_rng(seed)
    return tanh_network(rng), rng.standard_normal(LAYOUT.elements)


EVERY = [
    *(DPMSolverV3(order) for order in (1, 2, 3)),
    *(DPMSolverV3(order, Corrector.ON) for order in (1, 2, 3)),
    *(DPMSolverV3(order, Corrector.ON, DIVIDED, DIVIDED) for order in (1, 2, 3)),
    DPMSolverV3(3, Corrector.ON, FITTED, DIVIDED, Ending.FULL),
    DPMSolverV3(2, ending=Ending.FULL),
]


@pytest.mark.parametrize("parametrisation", [EPS, V, X0], ids=lambda item: item.value)
@pytest.mark.parametrize("solver", EVERY, ids=str)
def test_random_statistics_give_the_published_sample(solver, parametrisation):
    network, noise = draw(4)
    statistics = random_statistics()
    expected = published(solver, GRID, UNEVEN, parametrisation, statistics, (network, noise))
    assert_alike(sample(solver, GRID, parametrisation, statistics, (network, noise)), expected)


def test_a_flow_and_other_statistics():
    solver, indexes = DPMSolverV3(3, Corrector.ON), (0, 11, 20, 33, 45, 60)
    grid = on_knots(indexes, Flow())
    for seed in (1, 2):
        network, noise = draw(seed)
        statistics = random_statistics(seed)
        expected = published(solver, grid, indexes, FLOW, statistics, (network, noise))
        assert_alike(sample(solver, grid, FLOW, statistics, (network, noise)), expected)


def test_guidance_of_one_network_changes_nothing():
    """Both branches answer the same: products are split over them and add up again."""
    network, noise = draw(5)
    solver, statistics = DPMSolverV3(3, Corrector.ON), random_statistics()
    plain = sample(solver, GRID, V, statistics, (network, noise))
    guided = sample(solver, GRID, V, statistics, (network, noise), CFG(3.0))
    assert_alike(guided, plain)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_statistics_of_the_clean_estimate_give_res(order):
    """f = -D; the trapezoids over 4000 levels are the exact integrals to 1e-6."""
    network, noise = draw(6)
    knots = np.linspace(VP[0].half_logsnr, VP[VP.steps].half_logsnr, 4001)
    statistics = Statistics.of_clean_estimate(knots, LAYOUT.elements)
    solver = DPMSolverV3(order, ending=Ending.FULL)
    found = sample(solver, VP, EPS, statistics, (network, noise))
    table = fold(RES(order).rows(VP), EPS, Unguided())

    def answer(latent, time, _):
        return network(latent.reshape(SHAPE), time).reshape(-1)

    assert_alike(found, execute(table, LAYOUT, answer, [noise]).latent, 3e-6)


def test_levels_between_knots():
    """Linear between knots: a grid off the knots sees the same lines as one with more knots."""
    statistics = random_statistics()
    finer = np.sort(np.append(KNOTS, [-1.23, 0.456, 1.789]))
    more = Statistics(finer, *(np.array(x) for x in zip(*map(statistics.at, finer), strict=True)))
    alpha, sigma = Linear().coordinates(np.exp(-np.array([-2.0, -1.23, 0.456, 1.789, 3.0])))
    grid = Grid(alpha, sigma, np.arange(5.0), 1.0)
    network, noise = draw(7)
    solver = DPMSolverV3(3, Corrector.ON)
    one, other = (sample(solver, grid, V, item, (network, noise)) for item in (statistics, more))
    assert_alike(one, other)


def test_registers_products_and_externals():
    counts = {
        (1, Corrector.OFF): 1,
        (2, Corrector.OFF): 2,
        (3, Corrector.OFF): 3,
        (2, Corrector.ON): 3,
        (3, Corrector.ON): 4,
    }
    for (order, corrector), count in counts.items():
        rows = DPMSolverV3(order, corrector).rows(GRID)
        assert rows.basis.count == count
        assert rows.stages == GRID.steps
        assert max(len(terms) for terms in rows.products) <= 16
        assert len(rows.basis.externals) <= 16
        assert rows.external_index.max() == GRID.steps - 1
    assert DPMSolverV3(1, Corrector.ON).rows(GRID).basis.count == 1  # never corrected


def test_a_source_latent_keeps_its_place():
    network, noise = draw(8)
    solver, statistics = DPMSolverV3(2, Corrector.ON), random_statistics()
    tail = on_knots((15, 24, 30, 41, 60)).tail(1.0)
    source = np.random.default_rng(1).standard_normal(LAYOUT.elements)
    table = fold(solver.rows(tail), EPS, Unguided())
    arrays = solver.externals(tail, statistics) | {"source": source[None]}

    def answer(latent, time, _):
        return network(latent.reshape(SHAPE), time).reshape(-1)

    found = execute(table, LAYOUT, answer, [noise], arrays).latent
    start = tail.noise_gain * noise + tail.source_gain * source
    plain = on_knots((15, 24, 30, 41, 60))
    assert_alike(found, sample(solver, plain, EPS, statistics, (network, start)))


@pytest.mark.parametrize("positions", [[0.3, 0.9], [0.1, 0.7, -0.4], [0.0, 1.0, -0.5, -2.0]])
def test_derivatives_of_polynomials(positions):
    """FITTED is exact for polynomials of the points' degree, DIVIDED for the highest alone."""
    degree = len(positions) - 1
    x = np.array(positions)
    polynomial = np.polynomial.Polynomial(np.arange(1.0, degree + 2))
    expected = [polynomial.deriv(n)(x[0]) for n in range(1, degree + 1)]
    np.testing.assert_allclose(FITTED.weights(positions) @ polynomial(x), expected, rtol=1e-11)
    found = DIVIDED.weights(positions) @ polynomial(x)
    np.testing.assert_allclose(found[-1], expected[-1], rtol=1e-11)
    slope = (polynomial(x[0]) - polynomial(x[1])) / (x[0] - x[1])
    np.testing.assert_allclose(found[0], slope, rtol=1e-11)


def test_what_is_refused():
    statistics = random_statistics()
    for grid in (Trailing().grid(Flow(), 5), Trailing().grid(Linear(), 5)):
        with pytest.raises(InvalidInput, match="finite levels"):
            DPMSolverV3().rows(grid)
    with pytest.raises(InvalidInput, match="outside the statistics"):
        DPMSolverV3().externals(VP, statistics)
    with pytest.raises(InvalidInput, match="order"):
        DPMSolverV3(4)
    with pytest.raises(InvalidInput, match="rising levels"):
        Statistics(KNOTS[::-1], statistics.linear, statistics.scale, statistics.bias)
    with pytest.raises(InvalidInput, match="rising levels"):
        Statistics(KNOTS, statistics.linear[1:], statistics.scale, statistics.bias)
