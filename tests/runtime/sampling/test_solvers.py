import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput, InvalidTable
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.names import SOLVERS
from denoisert.runtime.sampling.oracle import execute, network
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import (
    Final,
    Flow,
    Karras,
    Leading,
    Linear,
    ScaledLinear,
    Trailing,
)
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DPMpp2M,
    Euler,
    EulerAncestral,
    FlowEuler,
    FlowHeun,
    Heun,
)
from denoisert.runtime.sampling.solvers.flow import ANY_PATH
from tests.runtime.sampling.trials import (
    DATA,
    DETERMINISTIC,
    EVERY,
    FLOWS,
    LAYOUT,
    by_index,
    on,
    run,
)

EPS, X0, V, FLOW, SCORE, EDM = Parametrisation


@pytest.mark.parametrize("solver", EVERY, ids=str)
def test_a_start_without_signal_is_ordinary(solver):
    """alpha = 0, sigma_ve infinite: every coefficient is finite at any step count."""
    noise = list(np.random.default_rng(9).standard_normal((8, LAYOUT.elements)))
    for steps in (1, 2, 3, 7):
        grid = Trailing().grid(Flow(shift=2.0), steps)
        assert grid.alpha[0] == 0.0
        table = fold(solver.rows(grid), FLOW, Unguided())
        assert np.isfinite(table.matrix).all()
        assert np.isfinite(run(solver, grid, on(Flow()), noise, FLOW).latent).all()


def test_one_step_from_pure_noise_is_the_clean_estimate():
    noise = np.random.default_rng(10).standard_normal(LAYOUT.elements)
    expected = DATA.estimates(noise, 0.0, 1.0)[0]
    for solver in EVERY:
        found = run(solver, Trailing().grid(Flow(), 1), on(Flow()), [noise]).latent
        np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_a_zero_signal_start_on_a_variance_preserving_path():
    """Zero terminal SNR: v is asked at alpha = 0; eps says nothing there and is refused."""
    level = np.array([np.inf, 20.0, 3.0, 0.5])
    alpha = np.append(1.0 / np.hypot(1.0, level), 1.0)
    grid, lookup = by_index(Grid(alpha, np.sqrt(1.0 - alpha**2), alpha, 1.0))
    noise = list(np.random.default_rng(11).standard_normal((4, LAYOUT.elements)))
    for solver in [*DETERMINISTIC, DDIM(1.0)]:
        assert np.isfinite(run(solver, grid, lookup, noise, V).latent).all()
        with pytest.raises(InvalidTable, match="does not determine the clean"):
            fold(solver.rows(grid), EPS, Unguided())


@pytest.mark.parametrize("solver", [*DETERMINISTIC, DDIM(0.7), EulerAncestral()], ids=str)
def test_every_parametrisation_gives_the_same_sample(solver):
    noise = list(np.random.default_rng(12).standard_normal((9, LAYOUT.elements)))
    grid = Leading(offset=1, final=Final.LAST).grid(ScaledLinear(), 8)
    samples = [
        run(solver, grid, on(ScaledLinear()), noise, choice).latent for choice in Parametrisation
    ]
    for sample in samples[1:]:
        error = np.abs(sample - samples[0]).max() / np.abs(samples[0]).max()
        assert error < 1e-12


@pytest.mark.parametrize("solver", EVERY, ids=str)
def test_x0_v_and_flow_give_the_same_sample_on_a_flow(solver):
    noise = list(np.random.default_rng(13).standard_normal((9, LAYOUT.elements)))
    grid = Trailing().grid(Flow(shift=3.0), 8)
    samples = [run(solver, grid, on(Flow()), noise, choice).latent for choice in (X0, V, FLOW)]
    for sample in samples[1:]:
        error = np.abs(sample - samples[0]).max() / np.abs(samples[0]).max()
        assert error < 1e-12


def test_one_update_has_three_names():
    for grid in (Trailing().grid(Linear(), 9), Karras(7.0, 0.01, 50.0).grid(Flow(), 9)):
        np.testing.assert_array_equal(Euler().rows(grid).registers, DDIM(0.0).rows(grid).registers)
        np.testing.assert_array_equal(
            EulerAncestral(0.6).rows(grid).registers, DDIM(0.6).rows(grid).registers
        )


def test_ddim_noise_is_the_papers_on_a_variance_preserving_path():
    """sigma = eta sqrt((1 - a_s) / (1 - a_t)) sqrt(1 - a_t / a_s), with a = alpha^2 (eq. 16)."""
    grid = Trailing(Final.LAST).grid(Linear(), 12)
    rows = DDIM(0.8).rows(grid)
    a = grid.alpha**2
    expected = 0.8 * np.sqrt((1 - a[1:]) / (1 - a[:-1])) * np.sqrt(1 - a[:-1] / a[1:])
    draw = rows.basis.draws[0].argmax()
    np.testing.assert_allclose(rows.registers[1:, 0, draw], expected, rtol=1e-11)


def test_full_noise_is_the_posterior_of_the_forward_process():
    """eta = 1: mean and variance of x_s given x_t and x0, from the joint Gaussian of the path."""
    grid = Karras(7.0, 0.02, 30.0, Final.ZERO).grid(Flow(), 6)
    rows = DDIM(1.0).rows(grid)
    basis = rows.basis
    for step in range(5):
        now, after = grid[step], grid[step + 1]
        keep = now.alpha / after.alpha
        added = now.sigma**2 - keep**2 * after.sigma**2
        variance = after.sigma**2 * added / now.sigma**2
        weight = keep * after.sigma**2 / now.sigma**2  # of x_t - alpha_t x0 = sigma_t eps
        row = rows.registers[step + 1, 0]
        np.testing.assert_allclose(row @ basis.draws[0], np.sqrt(variance), rtol=1e-12)
        np.testing.assert_allclose(row @ basis.noise, weight * now.sigma, rtol=1e-12)
        np.testing.assert_allclose(row @ basis.denoised, after.alpha, rtol=1e-12)


def test_flow_euler_equals_euler_on_a_linear_path():
    noise = np.random.default_rng(14).standard_normal(LAYOUT.elements)
    grid = Trailing().grid(Flow(shift=2.5), 10)
    samples = [run(solver, grid, on(Flow()), [noise]).latent for solver in (FlowEuler(), Euler())]
    np.testing.assert_allclose(samples[0], samples[1], rtol=0, atol=1e-14)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_evaluations(steps):
    noise = list(np.random.default_rng(15).standard_normal((6, LAYOUT.elements)))
    cases = [
        (Linear(), Final.ZERO, {DDIM(): steps, DPMpp2M(): steps, Heun(): 2 * steps - 1}),
        (Linear(), Final.LAST, {EulerAncestral(): steps, Heun(): 2 * steps}),
        (
            Flow(),
            Final.ZERO,
            {FlowEuler(): steps, FlowHeun(): 2 * steps - 1, Heun(): max(2 * steps - 2, 1)},
        ),
    ]
    for schedule, final, counts in cases:
        grid = Trailing(final).grid(schedule, steps)
        for solver, count in counts.items():
            assert run(solver, grid, on(schedule), noise).evaluations == count
            guided = run(solver, grid, on(schedule), noise, guidance=CFG(3.0))
            assert guided.evaluations == 2 * count
            assert count <= solver.evaluations_per_step * steps


def test_draws_and_registers():
    grid = Trailing().grid(Linear(), 6)
    assert DDIM(1.0).rows(grid).draws.tolist() == [1, 1, 1, 1, 1, 1, 0]
    assert DDIM(0.0).rows(grid).draws.tolist() == [1, 0, 0, 0, 0, 0, 0]
    kept = DDIM(1.0).rows(Trailing(Final.LAST).grid(Linear(), 6))
    assert kept.draws.tolist() == [1] * 7
    counts = {solver: solver.rows(grid).basis.count for solver in DETERMINISTIC}
    assert list(counts.values()) == [1, 1, 2, 2]


def test_first_and_lowered_last_steps_of_dpmpp_2m_are_eulers():
    for steps, is_lowered in ((14, True), (15, False)):
        grid = Trailing(Final.LAST).grid(Linear(), steps)
        table, euler = (
            fold(solver.rows(grid), EPS, Unguided()).resolved for solver in (DPMpp2M(), Euler())
        )
        np.testing.assert_allclose(table(1)[0, 0], euler(1)[0, 0], rtol=1e-12)
        np.testing.assert_allclose(table(1)[0, 2], euler(1)[0, 1], rtol=1e-12)
        assert (table(2)[0, 1] != 0.0, table(steps)[0, 1] != 0.0) == (True, not is_lowered)


def test_flow_solvers_refuse_other_paths_and_name_those_that_fit():
    grid = Trailing().grid(Linear(), 10)
    for solver in FLOWS:
        with pytest.raises(InvalidInput, match="linear path") as error:
            solver.rows(grid)
        assert all(name in str(error.value) for name in ANY_PATH)
    known = {kind.__name__: kind for kind in SOLVERS.values()}
    for name in ANY_PATH:
        known[name.removesuffix("()")]().rows(grid)


@pytest.mark.parametrize(
    "build",
    [
        lambda: DDIM(-0.1),
        lambda: DDIM(float("nan")),
        lambda: EulerAncestral(1.01),
        lambda: DPMpp2M(lower_order_below=-1),
        lambda: DPMpp2M(lower_order_below=2.5),
    ],
)
def test_values_outside_their_range_are_refused(build):
    with pytest.raises(InvalidInput):
        build()


def test_a_grid_started_from_a_picture_runs_its_tail():
    rng = np.random.default_rng(16)
    source, noise = rng.standard_normal((2, LAYOUT.elements))
    whole = Trailing().grid(Linear(), 10)
    for solver in DETERMINISTIC:
        grid = whole.tail(0.4)
        table = fold(solver.rows(grid), X0, Unguided())
        raw = network([DATA], X0, on(Linear()))
        found = execute(table, LAYOUT, raw, [noise], {"source": source}).latent
        start = grid.sigma[0] * noise + grid.alpha[0] * source
        plain = Grid(grid.alpha, grid.sigma, grid.model_time, 1.0)
        expected = run(solver, plain, on(Linear()), [start]).latent
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
