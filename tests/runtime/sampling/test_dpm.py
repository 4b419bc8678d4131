"""The DPM solvers as a family: ends, registers, draws, equalities, refusals."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.names import SOLVERS
from denoisert.runtime.sampling.notation import from_dict, parse, to_dict
from denoisert.runtime.sampling.oracle import solve
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import (
    Final,
    Flow,
    Karras,
    Linear,
    ScaledLinear,
    Trailing,
    ZeroTerminalSNR,
)
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

EPS, X0, V, FLOW = (Parametrisation(name) for name in ("eps", "x0", "v", "flow"))
HEUN, FULL, LOWERED = Form.HEUN, Ending.FULL, Ending.LOWERED
EVEN = Karras(sigma_min=0.03, sigma_max=14.0)
KEPT = replace(EVEN, final=Final.SPACED)
AT_POINTS = [
    DPMpp2M(),
    DPMpp2M(0, HEUN),
    DPMpp3M(),
    DPMpp3M(0, HEUN),
    DPMSolver2M(),
    DPMSolver3M(0),
    DPMppBlocks(2),
    DPMppBlocks(3),
    DPMppBlocks(3, HEUN),
    DPMSolverBlocks(2),
    DPMSolverBlocks(3),
]
BETWEEN = [DPMpp2S(), DPMpp3S(), DPMSolver2(), DPMSolver3(), DPMFast()]
NOISY_AT_POINTS = [
    DPMpp2MSDE(),
    DPMpp3MSDE(0.5),
    SDEDPMSolver1(),
    SDEDPMSolver2M(0.5),
    DPMppBlocksSDE(2),
    DPMppBlocksSDE(3),
]
NOISY_BETWEEN = [DPMpp2SAncestral(), DPMppSDE(), DPMppSDE(0.5), DPMFast(1.0)]
DETERMINISTIC, NOISY = AT_POINTS + BETWEEN, NOISY_AT_POINTS + NOISY_BETWEEN
EVERY = DETERMINISTIC + NOISY


def table_of(solver, grid, parametrisation=X0):
    return fold(solver.rows(grid), parametrisation, Unguided())


def sample(solver, grid, parametrisation=X0, seed=1):
    """The latent of the exact denoiser of a mixture."""
    table = table_of(solver, grid, parametrisation)
    noise = list(np.random.default_rng(seed).standard_normal((60, 32)))
    return solve(table, [DATA], parametrisation, noise).latent


def default_names():
    return {kind() for kind in SOLVERS.values() if "DPM" in kind.__name__}


def test_every_class_has_a_name_and_reads_back():
    found = {type(solver) for solver in EVERY}
    assert found <= {type(solver) for solver in default_names()}
    for solver in EVERY:
        assert from_dict(to_dict(solver)) == solver
    text = 'dpmpp_3m_sde(eta=0.5, form="midpoint", compat="diffusers")'
    assert parse(SOLVERS, text).eta == 0.5
    assert parse(SOLVERS, 'dpmpp_blocks(size=3, ending="full")') == DPMppBlocks(3, ending=FULL)
    assert str(DPMpp2S()) == "DPMpp2S(r=0.5, form=Form.MIDPOINT)"


@pytest.mark.parametrize("solver", EVERY, ids=str)
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7])
def test_every_end_is_finite(solver, steps):
    """alpha = 0 at the start, sigma = 0 or not at the end, any number of steps."""
    grids = [
        Trailing().grid(Flow(shift=2.0), steps),
        Trailing(Final.LAST).grid(Linear(), steps),
        EVEN.grid(ScaledLinear(), steps),
        Trailing().grid(ZeroTerminalSNR(Linear()), steps),
    ]
    assert [grid.alpha[0] == 0.0 for grid in grids] == [True, False, False, True]
    for grid in grids:
        table = table_of(solver, grid, V)
        assert np.isfinite(table.matrix).all()
        assert np.isfinite(sample(solver, grid)).all()
        assert table.stages <= solver.evaluations_per_step * steps


@pytest.mark.parametrize("solver", EVERY, ids=str)
def test_one_step_to_clean_data_is_the_clean_estimate(solver):
    noise = np.random.default_rng(2).standard_normal((9, 32))
    for grid in (Trailing().grid(Flow(), 1), EVEN.grid(Linear(), 1)):
        start = grid.noise_gain * noise[0]
        expected = DATA.estimates(start, *grid[0][:2])[0]
        found = solve(table_of(solver, grid), [DATA], X0, list(noise)).latent
        np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("solver", EVERY, ids=str)
def test_every_parametrisation_gives_the_same_sample(solver):
    for grid in (EVEN.grid(ScaledLinear(), 8), KEPT.grid(Flow(), 7)):
        samples = [sample(solver, grid, kind) for kind in Parametrisation]
        for other in samples[1:]:
            assert np.abs(other - samples[0]).max() <= 1e-12 * np.abs(samples[0]).max()


def test_registers_are_as_few_as_can_be():
    grid = KEPT.grid(Linear(), 12)
    counts = {
        2: [DPMpp2M(), DPMSolver2M(), DPMpp2MSDE(), SDEDPMSolver2M(), DPMppBlocks(2)],
        3: [DPMpp3M(), DPMSolver3M(), DPMpp3MSDE(), DPMppBlocksSDE(3)],
        1: [SDEDPMSolver1(), DPMppBlocks(1), DPMppBlocksSDE(1)],
    }
    counts[2] += [DPMppBlocks(3), DPMSolverBlocks(3), DPMppBlocks(3, HEUN), DPMppBlocksSDE(2)]
    counts[2] += [*BETWEEN, *NOISY_BETWEEN]
    for count, solvers in counts.items():
        for solver in solvers:
            assert solver.rows(grid).basis.count == count, solver
    for solver in (DPMpp2M(), DPMpp3M(), DPMppBlocks(3), DPMpp2S(), DPMFast()):
        assert solver.rows(EVEN.grid(Linear(), 1)).basis.count == 1
    assert DPMpp3M(0).rows(KEPT.grid(Linear(), 2)).basis.count == 2


def test_evaluations_and_steps_done():
    zero, kept = EVEN.grid(Linear(), 9), KEPT.grid(Linear(), 9)
    counts = {
        DPMpp2S(): (17, 18),
        DPMpp3S(): (25, 27),
        DPMSolver3(): (25, 27),
        DPMppSDE(): (17, 18),
        DPMpp2SAncestral(): (17, 18),
    } | dict.fromkeys([*AT_POINTS, *NOISY_AT_POINTS, DPMFast(), DPMFast(1.0)], (9, 9))
    for solver, expected in counts.items():
        found = [table_of(solver, grid).nfe for grid in (zero, kept)]
        assert tuple(found) == expected, solver
        for grid in (zero, kept):
            steps = solver.rows(grid).steps
            assert steps[-1] == 9
            assert np.all(np.diff(steps) >= 0)
        guided = fold(solver.rows(kept), X0, CFG(3.0))
        assert guided.nfe == 2 * expected[1]


def test_draws():
    """One in every evaluation that arrives with noise, none into sigma = 0."""
    zero, kept = EVEN.grid(Linear(), 6), KEPT.grid(Linear(), 6)
    for solver in NOISY_AT_POINTS:
        assert solver.rows(zero).draws.tolist() == [1] * 6 + [0], solver
        assert solver.rows(kept).draws.tolist() == [1] * 7, solver
    assert DPMppSDE().rows(zero).draws.tolist() == [1] * 11 + [0]
    assert DPMpp2SAncestral().rows(kept).draws.tolist() == [1] + [0, 1] * 6
    # orders 3, 2, 1 of noise down to the last noisy level and never below it
    assert DPMFast(1.0).rows(kept).draws.tolist() == [1, 0, 0, 1, 0, 1, 0]
    for solver in DETERMINISTIC:
        assert not solver.rows(zero).draws[1:].any()


def test_few_steps_are_lowered_and_long_runs_are_not():
    for steps, is_short in ((14, True), (15, False)):
        grid = KEPT.grid(Linear(), steps)
        for solver in (DPMpp2M(), DPMpp3M(), DPMSolver2M()):
            plain = replace(solver, lower_order_below=0)
            rows, free = solver.rows(grid).registers, plain.rows(grid).registers
            assert (not np.allclose(rows[-1], free[-1])) == is_short
            assert (not np.allclose(rows[-2], free[-2])) == (is_short and type(solver) is DPMpp3M)
        euler = DPMpp3M(ending=LOWERED).rows(grid)
        first = DPMpp2M(ending=LOWERED).rows(grid)
        newest = euler.basis.denoised.argmax(), first.basis.denoised.argmax()
        np.testing.assert_array_equal(euler.registers[-1, 0, 1:3], 0.0)
        assert euler.registers[-1, 0, newest[0]] == first.registers[-1, 0, newest[1]]


@pytest.mark.parametrize("solver", [*BETWEEN, *NOISY_BETWEEN], ids=str)
def test_a_grid_without_a_path_is_refused(solver):
    grid = replace(KEPT.grid(Linear(), 8), path=None)
    with pytest.raises(InvalidInput, match="between those of a grid without a path"):
        solver.rows(grid)
    for other in (*AT_POINTS, *NOISY_AT_POINTS):
        other.rows(grid)


def test_between_points_the_network_hears_the_time_of_the_middle():
    grid = KEPT.grid(Linear(), 4)
    first, middle = DPMpp2S(0.25).rows(grid).points[:2]
    level = grid[0].sigma_ve ** 0.75 * grid[1].sigma_ve ** 0.25
    assert first.model_time > middle.model_time > grid[1].model_time
    np.testing.assert_allclose(middle.sigma_ve, level, rtol=1e-13)
    np.testing.assert_allclose(
        middle.model_time, Linear().model_time(np.array([level]))[0], rtol=1e-13
    )


def test_whole_blocks_must_fit():
    for steps, final, match in ((7, Final.SPACED, "no whole number"), (6, Final.ZERO, "sigma = 0")):
        grid = replace(EVEN, final=final).grid(Linear(), steps)
        with pytest.raises(InvalidInput, match=match):
            DPMppBlocks(3, ending=FULL).rows(grid)
    DPMppBlocks(3, ending=FULL).rows(KEPT.grid(Linear(), 6))


@pytest.mark.parametrize(
    "build",
    [
        lambda: DPMpp3M(lower_order_below=-1),
        lambda: DPMSolver2M(lower_order_below=1.5),
        lambda: DPMpp2MSDE(eta=-0.1),
        lambda: DPMpp2MSDE(eta=float("nan")),
        lambda: DPMpp3MSDE(noise_scale=-1.0),
        lambda: DPMpp3MSDE(noise_scale=float("inf")),
        lambda: SDEDPMSolver1(eta=float("inf")),
        lambda: DPMpp2SAncestral(eta=1.1),
        lambda: DPMppSDE(eta=-0.1),
        lambda: DPMppSDE(r=0.0),
        lambda: DPMppSDE(r=1.0),
        lambda: DPMFast(eta=2.0),
        lambda: DPMpp2S(r=0.0),
        lambda: DPMpp2S(r=1.1),
        lambda: DPMSolver2(r=float("nan")),
        lambda: DPMSolver3(r_1=0.7, r_2=0.6),
        lambda: DPMpp3S(r_1=0.0),
        lambda: DPMppBlocks(4),
        lambda: DPMppBlocks(2.0),
        lambda: DPMSolverBlocks(0),
        lambda: DPMppBlocksSDE(eta=-1.0),
    ],
)
def test_values_outside_their_range_are_refused(build):
    with pytest.raises(InvalidInput):
        build()


def test_a_grid_started_from_a_picture_runs_its_tail():
    rng = np.random.default_rng(16)
    source, noise = rng.standard_normal((2, 32))
    for solver in (DPMpp3M(), DPMppBlocks(3), DPMpp2S(), DPMFast()):
        grid = Trailing().grid(Linear(), 10).tail(0.5)
        found = solve(table_of(solver, grid), [DATA], X0, [noise], {"source": source[None]}).latent
        start = grid.sigma[0] * noise + grid.alpha[0] * source
        plain = Grid(grid.alpha, grid.sigma, grid.model_time, 1.0, path=grid.path)
        expected = solve(table_of(solver, plain), [DATA], X0, [start]).latent
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
