"""A run that is divided at a noise level is the run, whichever side one looks at."""

import numpy as np
import pytest

from denoisert.runtime import Noised, Request, Runtime, Start
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampler import Sampler, compile_table
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import (
    After,
    Before,
    Karras,
    Linear,
    ScaledLinear,
    Timesteps,
    Trailing,
)
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DPMpp2M,
    Euler,
    EulerAncestral,
    Heun,
    UniPC,
)
from tests.runtime.networks import perceptron
from tests.runtime.sampling.drafts import LAYOUT, draws, network

STEPS = 9
ONE_STEP = [Euler(), DDIM(), DDIM(0.7), EulerAncestral(), Heun()]
EPS = Parametrisation.EPS


def latents(solver, grid, noise, source=None):
    """The state after every step, and the last one."""
    rows = solver.rows(grid)
    rows = rows if grid.stop is None else rows.head(grid.stop)
    given = None if source is None else {"source": source[None]}
    return execute(fold(rows, EPS, Unguided()), LAYOUT, network, noise, given).latent


def level_of(grid, step):
    """Just below the noise level where a step begins."""
    return grid[step].sigma_ve * (1.0 - 1e-6)


@pytest.mark.parametrize("spacing", [Trailing(), Karras(sigma_min=0.1, sigma_max=9.0)], ids=str)
@pytest.mark.parametrize("solver", ONE_STEP, ids=repr)
@pytest.mark.parametrize("kept", [1, 4, 8])
def test_before_and_after_together_are_the_run(solver, spacing, kept):
    schedule = ScaledLinear()
    whole = spacing.grid(schedule, STEPS)
    level, noise = level_of(whole, kept - 1), draws(kept)
    before = Before(spacing, level).grid(schedule, STEPS)
    assert before.stop == kept
    middle = latents(solver, before, noise)
    used = int(solver.rows(whole).draws[: 1 + kept].sum())
    after = After(spacing, level).grid(schedule, STEPS)
    assert after.steps == STEPS - kept
    assert (after.noise_gain, after.source_gain) == (0.0, 1.0)
    end = latents(solver, after, noise[used:], middle)
    np.testing.assert_allclose(end, latents(solver, whole, noise), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("solver", [DPMpp2M(), UniPC(), Heun(), EulerAncestral()], ids=repr)
def test_before_steps_as_if_the_run_went_on(solver):
    """Cut rows, not a shorter grid: a multistep solver does not lower its order at the cut."""
    grid = Before(Trailing(), 1.0).grid(Linear(), 12)
    rows, cut = solver.rows(grid), solver.rows(grid).head(grid.stop)
    assert int(cut.steps[-1]) == grid.stop < 12
    count = len(cut.steps)
    assert cut.stages == count - 1 == len(cut.points)
    for name in ("registers", "draws", "external_index", "taps", "tap_index", "steps"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(rows, name)[:count])
    assert (cut.products, cut.rules) == (rows.products[:count], rows.rules[:count])
    assert cut.points == rows.points[: count - 1]


def test_a_level_of_the_spacing_itself_is_before():
    grid = Trailing().grid(Linear(), 10)
    for step in range(9):
        for nearly in (1.0, 1.0 + 1e-13, 1.0 - 1e-13):
            level = grid[step].sigma_ve * nearly
            assert Before(Trailing(), level).grid(Linear(), 10).stop == step + 1


def test_strength_counts_the_steps_of_the_whole_run():
    """Image to image, then stop: of 10 steps the last 6 begin, and those before the level run."""
    grid = Trailing().grid(Linear(), 10)
    before = Before(Trailing(), level_of(grid, 6)).grid(Linear(), 10)
    part = before.tail(0.6)
    assert (part.steps, part.stop) == (6, 3)
    with pytest.raises(InvalidInput, match="starts at step 8 of 10 and stops after 7"):
        before.tail(0.2)


@pytest.mark.parametrize("kind", [Before, After])
@pytest.mark.parametrize("level", [1e-9, 1e9])
def test_a_level_outside_the_steps_is_refused(kind, level):
    with pytest.raises(InvalidInput, match=r"steps before the level .* Give a level between them"):
        kind(Trailing(), level).grid(Linear(), 5)


@pytest.mark.parametrize("kind", [Before, After])
@pytest.mark.parametrize("level", [0.0, -1.0, np.inf, np.nan])
def test_a_level_that_is_none_is_refused(kind, level):
    with pytest.raises(InvalidInput, match="above 0, finite"):
        kind(Trailing(), level)


def test_steps_of_a_list_stay_pinned():
    spacing = Timesteps((900.0, 500.0, 100.0))
    assert Before(spacing, 1.0).steps == After(spacing, 1.0).steps == 3


def test_a_solver_that_takes_several_steps_at_once_stops_only_behind_them():
    grid = Trailing().grid(Linear(), 4)

    class Pairs:
        def rows(self, grid):
            from denoisert.runtime.sampling.rows import Program

            program = Program(grid, 1)
            for step in (0, 2):
                program.stage(grid[step], [program.basis.registers[0]], ends=2)
            return program.rows()

    assert Pairs().rows(grid).head(2).stages == 1
    with pytest.raises(InvalidInput, match=r"stop after 3 steps.*can stop after 2, 4"):
        Pairs().rows(grid).head(3)


def test_a_table_has_the_stages_that_run():
    card = perceptron().card()
    sampler = Sampler(Euler(), Before(Trailing(), 1.0), 10, Unguided())
    table = compile_table(sampler, card)
    assert table.stages == Before(Trailing(), 1.0).grid(card.training.schedule, 10).stop


def test_two_requests_are_one_bit_for_bit(digits_bundle):
    """On a real bundle, float32: what the first leaves is what the second takes."""
    with Runtime.open(digits_bundle, threads=1) as runtime:
        told = {"condition": 3, "seed": 5, "steps": 8, "solver": Euler()}
        whole = runtime.generate(Request(**told, schedule=Trailing())).latents["latent"]
        first = runtime.generate(Request(**told, schedule=Before(Trailing(), 0.7)))
        start = Start(first.latents["latent"][0], noised=Noised.ALREADY)
        second = runtime.generate(Request(**told, schedule=After(Trailing(), 0.7), start=start))
        np.testing.assert_array_equal(second.latents["latent"], whole)
        assert not np.array_equal(first.latents["latent"], whole)
