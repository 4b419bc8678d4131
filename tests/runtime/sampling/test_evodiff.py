"""EVODiff: registers, evaluations, measured orders, what it says of the network, refusals.

`parity/evodiff.py` has the authors' loop beside it.
"""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.kernels.rule.cpu import EVODIFF
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.names import SOLVERS
from denoisert.runtime.sampling.operations import Clip
from denoisert.runtime.sampling.oracle import between_levels, execute, network, strong_errors
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import (
    VE,
    Exponential,
    Final,
    Flow,
    Karras,
    Linear,
    Trailing,
)
from denoisert.runtime.sampling.solvers import DDIM, Bounded, EVODiff, LastStep
from tests.oracles.case import difference
from tests.oracles.pair import LAYOUT, tanh_network
from tests.runtime.sampling.parity.evodiff import CASES
from tests.runtime.sampling.trials import DATA, by_index
from tests.runtime.sampling.trials import LAYOUT as PLANE

EPS, X0, V = (Parametrisation(name) for name in ("eps", "x0", "v"))
KEPT = Karras(sigma_min=0.05, sigma_max=30.0, final=Final.SPACED)
ZERO = Karras(sigma_min=0.05, sigma_max=30.0)
RELEASED, ORDER_ONE, FULL = (EVODiff(last) for last in LastStep)
STEPS = (48, 96, 192)


def table_of(solver, grid, kind=X0, guidance=None):
    return fold(solver.rows(grid), kind, guidance or Unguided())


def sample(solver, grid, answer, seed=0):
    noise = [np.random.default_rng(seed).standard_normal(LAYOUT.elements)]
    return execute(table_of(solver, grid), LAYOUT, answer, noise).latent


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_estimate_on_the_way_is_that_of_the_authors(case):
    """Not the end alone, which forgets much of the way: where the network is asked."""
    asked = [[], []]

    def watched(number):
        model = tanh_network(np.random.default_rng(7))

        def answer(latent, time, *_):
            asked[number].append(np.array(latent).reshape(-1))
            return model(latent, time)

        return answer

    noise = case.draws(7)
    execute(case.table(), LAYOUT, watched(0), noise)
    case.reference(watched(1), noise)
    assert len(asked[0]) == len(asked[1]) == case.table().stages
    for mine, theirs in zip(*asked, strict=True):
        assert difference(mine, theirs) <= 1e-12


@pytest.mark.parametrize(
    ("solver", "steps", "evaluations", "registers"),
    [
        (RELEASED, 1, 1, 1),
        (RELEASED, 2, 2, 2),
        (RELEASED, 3, 3, 3),
        (ORDER_ONE, 9, 9, 3),
        (FULL, 1, 1, 1),
        (FULL, 2, 3, 3),
        (FULL, 9, 10, 3),
    ],
    ids=str,
)
def test_evaluations_and_registers(solver, steps, evaluations, registers):
    table = table_of(solver, KEPT.grid(Linear(), steps))
    assert table.nfe == table.stages == evaluations
    assert table.form.registers == registers
    assert table.steps[-1] == steps
    assert table.draws.tolist() == [1, *[0] * evaluations]
    assert np.isfinite(table.matrix).all()
    assert np.isfinite(table.rule_args).all()


def test_where_the_rule_is():
    """From the second evaluation on: it probes there, and ends a step from the third on."""
    table = table_of(FULL, KEPT.grid(Linear(), 5))
    assert table.rule.tolist() == [0, 0, *[EVODIFF] * 5]
    middle, last = table.rule_args[3], table.rule_args[-1]
    assert middle[0] == table.sigma[3]
    assert (middle[7], last[7]) == (5, 5)
    assert last[1] == 0.0  # no further step begins
    into_data = table_of(RELEASED, ZERO.grid(Linear(), 5))
    assert into_data.rule.tolist() == [0, 0, EVODIFF, EVODIFF, EVODIFF, 0]


@pytest.mark.parametrize("solver", [ORDER_ONE, FULL], ids=str)
@pytest.mark.parametrize(
    "grids",
    [
        between_levels(Linear(), 10.0, 0.1),
        lambda count: KEPT.grid(VE(), 2 * count),
    ],
    ids=["even", "karras"],
)
def test_order_one_without_the_released_last_step(solver, grids):
    noise = np.random.default_rng(7).standard_normal(PLANE.elements)
    found = strong_errors(solver, grids, DATA, noise, STEPS)
    assert solver.order == 1
    np.testing.assert_allclose(found.slopes, 1.0, atol=0.25)


def test_the_released_last_step_does_not_converge():
    noise = np.random.default_rng(7).standard_normal(PLANE.elements)
    grids = between_levels(Linear(), 10.0, 0.1)
    found = strong_errors(RELEASED, grids, DATA, noise, STEPS)
    assert RELEASED.order == 0
    np.testing.assert_allclose(found.slopes, 0.0, atol=0.25)
    assert found.errors[-1] > 10 * strong_errors(FULL, grids, DATA, noise, STEPS).errors[-1]


@pytest.mark.parametrize("solver", [ORDER_ONE, FULL], ids=str)
def test_a_constant_estimate_is_met_on_even_levels_alone(solver):
    """There b = 1, so that every D_1 and D_2 is 0; the guards keep 0 / 0 away."""
    constant = np.random.default_rng(3).standard_normal(LAYOUT.elements)

    def missed(spacing):
        grid = spacing.grid(VE(), 8)
        start = grid.noise_gain * np.random.default_rng(0).standard_normal(LAYOUT.elements)
        found = sample(solver, grid, lambda *_: constant)
        noise = (start - grid.alpha[0] * constant) / grid.sigma[0]
        wanted = grid.alpha[-1] * constant + grid.sigma[-1] * noise
        return difference(found, wanted)

    assert missed(Exponential(0.05, 30.0, Final.SPACED)) < 1e-12
    assert missed(KEPT) > 1e-3


@pytest.mark.parametrize("answer", [0.0, 1.0])
def test_estimates_of_one_number_stay_finite(answer):
    for spacing in (KEPT, ZERO, Exponential(0.05, 30.0, Final.SPACED)):
        for steps in (1, 2, 6, 25):
            grid = spacing.grid(Linear(), steps)
            found = sample(RELEASED, grid, lambda x, *_: np.full_like(x, answer))
            assert np.isfinite(found).all()


@pytest.mark.parametrize("spacing", [KEPT, ZERO], ids=str)
@pytest.mark.parametrize("solver", [RELEASED, ORDER_ONE, FULL], ids=str)
def test_a_single_step_is_ddim(solver, spacing):
    answer, grid = tanh_network(np.random.default_rng(1)), spacing.grid(Linear(), 1)
    found, wanted = (sample(each, grid, lambda x, t, *_: answer(x, t)) for each in (solver, DDIM()))
    assert difference(found, wanted) < 1e-13


def test_more_than_20_steps_take_the_other_branch():
    answer = tanh_network(np.random.default_rng(5))
    grid = KEPT.grid(Linear(), 21)
    table = table_of(FULL, grid)
    few = table.rule_args.copy()
    few[:, 7] = 20.0
    noise = [np.random.default_rng(0).standard_normal(LAYOUT.elements)]
    args = (LAYOUT, lambda x, t, *_: answer(x, t), noise)
    other = execute(replace(table, rule_args=few), *args).latent
    assert difference(execute(table, *args).latent, other) > 1e-9


@pytest.mark.parametrize("kind", [EPS, V])
@pytest.mark.parametrize("solver", [RELEASED, ORDER_ONE], ids=str)
def test_what_the_network_predicts_does_not_matter(solver, kind):
    """On data with an exact denoiser; every point of the plane is a channel."""
    grid, lookup = by_index(KEPT.grid(Linear(), 7))
    noise = [np.random.default_rng(2).standard_normal(PLANE.elements)]
    found, wanted = (
        execute(table_of(solver, grid, each), PLANE, network([DATA], each, lookup), noise).latent
        for each in (kind, X0)
    )
    assert difference(found, wanted) < 1e-12


def test_guidance_that_weighs_is_welcome_and_a_second_rule_or_bound_is_not():
    rows = RELEASED.rows(KEPT.grid(Linear(), 5))
    table = fold(rows, EPS, CFG(3.0))
    assert table.nfe == 10
    assert (table.matrix[3, :3, table.form.branch(0)] != 0).tolist() == [True, False, False]
    with pytest.raises(InvalidInput, match="both have a rule"):
        fold(rows, EPS, CFG(3.0, rescale=0.5))
    with pytest.raises(InvalidInput, match="Use the solver without it"):
        table_of(Bounded(RELEASED, Clip()), KEPT.grid(Linear(), 5))


def test_starts_at_pure_noise_are_refused_where_a_probe_needs_their_level():
    for solver, steps in ((RELEASED, 3), (ORDER_ONE, 3)):
        with pytest.raises(InvalidInput, match="infinite at the start of this grid, alpha = 0"):
            solver.rows(Trailing().grid(Flow(), steps))
    for steps in (1, 2):
        table = table_of(RELEASED, Trailing().grid(Flow(), steps))
        assert np.isfinite(table.matrix).all()
        assert not table.rule.any()


def test_a_full_last_step_needs_noise_at_the_end_and_a_path():
    with pytest.raises(InvalidInput, match="ends at sigma = 0"):
        FULL.rows(ZERO.grid(Linear(), 4))
    grid = KEPT.grid(Linear(), 4)
    bare = Grid(grid.alpha, grid.sigma, grid.model_time, grid.noise_gain)
    with pytest.raises(InvalidInput, match="without a path"):
        FULL.rows(bare)
    RELEASED.rows(bare)


def test_it_has_a_name_and_says_how_it_ends():
    assert SOLVERS["evodiff"] is EVODiff
    assert repr(FULL) == "EVODiff(last=LastStep.FULL)"
    assert (RELEASED.evaluations_per_step, FULL.evaluations_per_step) == (1, 2)
    assert EVODiff() == RELEASED


def test_channels_are_those_of_the_layout():
    """One channel of twice the size has other dots, and so another sample."""
    answer = tanh_network(np.random.default_rng(2))
    table = table_of(FULL, KEPT.grid(Linear(), 6))
    noise = [np.random.default_rng(2).standard_normal(LAYOUT.elements)]
    whole = StateLayout((Part("x", (1, LAYOUT.elements)),))
    pair = [
        execute(table, layout, lambda x, t, *_: answer(x, t), noise).latent
        for layout in (LAYOUT, whole)
    ]
    assert difference(*pair) > 1e-6
