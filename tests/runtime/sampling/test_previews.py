"""Previews in float64: the solver's own clean estimate, at the ends of steps, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.operations import Clip, DynamicThreshold
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.previews import with_previews
from denoisert.runtime.sampling.rows import Program
from denoisert.runtime.sampling.schedules import Flow, Linspace, ScaledLinear, Trailing
from denoisert.runtime.sampling.solvers import DDIM, DPMpp2M, Euler, FlowHeun, Heun
from tests.oracles import float64
from tests.oracles.pair import FLOW, LAYOUT, assert_close, draws, tanh_network, upstream
from tests.runtime.previewed import CASES, STEPS
from tests.runtime.samplers import GUIDANCE, SOLVERS, flow_table
from tests.runtime.sampling.drafts import LAYOUT as PAIR
from tests.runtime.sampling.drafts import draws as pair_draws
from tests.runtime.sampling.drafts import network as pair_network
from tests.runtime.sampling.programs import angles, ddim


def every_page(table):
    """The same table with a page of its own for every step's preview, so that all can be read."""
    pages = table.tap_index.copy()
    shown = pages[:, -1] >= 0
    pages[shown, -1] = table.steps[shown]
    return replace(table, tap_index=pages)


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_previews_are_diffusers_clean_estimates(case, scale):
    rng = np.random.default_rng(21)
    networks, noise = [tanh_network(rng), tanh_network(rng)], draws(rng, STEPS)

    def guided(latent, time):
        cond, uncond = (network(latent, time) for network in networks)
        return uncond + scale * (cond - uncond)

    expected = case.estimates(guided, noise)
    assert len(expected) == STEPS
    table = every_page(case.table(scale, 1))
    run = execute(table, LAYOUT, lambda latent, time, branch: networks[branch](latent, time), noise)
    pages = run.tapes[-1]
    assert sorted(pages) == list(range(1, STEPS + 1))
    for step, value in enumerate(expected, 1):
        assert_close(pages[step], value)


def test_the_estimate_of_a_flow_step_of_two_stages_is_that_of_the_second():
    rng = np.random.default_rng(5)
    network, noise = tanh_network(rng), draws(rng, 9)
    scheduler = upstream("flow_match_heun_discrete", 9)
    start = noise[0].reshape(1, 2, 3, 3)
    expected = [
        float64.clean(scheduler, stage).reshape(-1)
        for stage in float64.stages(scheduler, network, start)
        if stage.ends_step
    ]
    rows = with_previews(FlowHeun().rows(Linspace().grid(Flow(time_scale=1000.0), 9)), 1)
    table = every_page(fold(rows, FLOW, Unguided()))
    run = execute(table, LAYOUT, lambda latent, time, _: network(latent, time), noise)
    for step, value in enumerate(expected, 1):
        assert_close(run.tapes[-1][step], value)


@pytest.mark.parametrize(
    "operation",
    [Clip(-0.3, 0.3, rederive=True), DynamicThreshold(0.8, 1.5, rederive=True)],
    ids=repr,
)
@pytest.mark.parametrize("guidance", GUIDANCE, ids=repr)
def test_a_preview_is_what_the_step_is_made_of(operation, guidance):
    """A step of DDIM is alpha D + sigma E before and after it: two equations for D."""
    grid = angles(6)
    rows = with_previews(ddim(grid), 1)
    states = replace(rows, taps=rows.taps.copy())
    states.taps[1:, 0] = rows.basis.registers[0]
    table = every_page(fold(replace(states, bound=operation), Parametrisation.V, guidance))
    run = execute(table, PAIR, pair_network, pair_draws(3))
    xs = [run.tapes[0][step] for step in range(6)] + [run.latent]
    for step in range(6):
        now, then = grid[step], grid[step + 1]
        matrix = [[now.alpha, now.sigma], [then.alpha, then.sigma]]
        clean, _ = np.linalg.solve(matrix, [xs[step], xs[step + 1]])
        found = run.tapes[1][step + 1]
        np.testing.assert_allclose(found, clean, rtol=0, atol=1e-11 * np.abs(clean).max())


@pytest.mark.parametrize("every", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_every_kth_step_is_shown_at_its_last_stage(solver, every):
    table = flow_table(solver, 7, CFG(2.0), previews=every)
    rows = np.flatnonzero(table.tap_index[:, -1] >= 0)
    assert table.steps[rows].tolist() == list(range(every, 8, every))
    last = [int(np.flatnonzero(table.steps == step)[0]) for step in table.steps[rows]]
    assert rows.tolist() == last
    assert table.tape_pages == ((1,) if every <= 7 else (0,))


@pytest.mark.parametrize(
    ("solver", "steps"),
    [
        (DDIM(), [0, 1, 2, 3, 4]),
        (DPMpp2M(), [0, 1, 2, 3, 4]),
        (Heun(), [0, 1, 1, 2, 2, 3, 4]),  # from alpha = 0 the first step has one stage
        (FlowHeun(), [0, 0, 1, 1, 2, 2, 3, 4]),
    ],
    ids=repr,
)
def test_a_table_counts_whole_steps(solver, steps):
    assert flow_table(solver, 4).steps.tolist() == steps


def test_heun_from_a_noise_level_below_infinity_has_two_stages_at_once():
    rows = Heun().rows(Trailing().grid(ScaledLinear(), 4))
    assert rows.steps.tolist() == [0, 0, 1, 1, 2, 2, 3, 4]
    assert with_previews(rows, 2).tap_index[:, 0].tolist() == [-1, -1, -1, -1, 0, -1, -1, 0]


@pytest.mark.parametrize("guidance", GUIDANCE, ids=repr)
@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_previews_touch_nothing_but_their_tape(solver, guidance):
    plain, shown = (flow_table(solver, 7, guidance, previews=every) for every in (0, 2))
    rows = plain.form.rows
    assert shown.form == plain.form._replace(taps=1)
    assert np.array_equal(shown.matrix[:, :rows], plain.matrix)
    for name in ("rename", "live", "draws", "condition", "model_time", "steps", "rule"):
        assert np.array_equal(getattr(shown, name), getattr(plain, name))
    assert shown.products == plain.products
    assert shown.fingerprint != plain.fingerprint
    assert len({flow_table(solver, 7, guidance, previews=k).fingerprint for k in (1, 2, 3)}) == 3


def test_the_tapes_of_a_solver_stay_before_that_of_previews():
    program = Program(angles(3), 1)
    basis, grid = program.basis, angles(3)
    for step in range(3):
        program.stage(grid[step], [basis.denoised], taps=[(step, basis.noise)])
    rows = with_previews(program.rows(), 2)
    assert rows.tap_index.tolist() == [[-1, -1], [0, -1], [1, 0], [2, -1]]
    np.testing.assert_array_equal(rows.taps[2], [basis.noise, basis.denoised])
    np.testing.assert_array_equal(rows.taps[1, 1], 0)
    assert fold(rows, Parametrisation.V, Unguided()).tape_pages == (3, 1)


def test_steps_may_end_together_or_not_at_all():
    program = Program(angles(4), 1)
    basis, grid = program.basis, angles(4)
    for index, ends in enumerate((0, 2, 0, 2)):
        program.stage(grid[index], [basis.denoised], ends=ends)
    rows = program.rows()
    assert rows.steps.tolist() == [0, 0, 2, 2, 4]
    assert with_previews(rows, 4).tap_index[:, 0].tolist() == [-1, -1, -1, -1, 0]


def test_labels_alone_make_no_other_table():
    table = flow_table(Euler(), 4)
    assert replace(table, steps=table.steps + 1).fingerprint == table.fingerprint
