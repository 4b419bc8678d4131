"""Previews of a running pool: diffusers' clean estimates, no other bits, counted and copied."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.kernels.philox import reference as philox
from denoisert.runtime.errors import Cancelled, InvalidInput, NonFinite
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.solvers import Heun
from tests.oracles.pair import LAYOUT
from tests.runtime.networks import perceptron
from tests.runtime.previewed import CASES, STEPS
from tests.runtime.samplers import GUIDANCE, OPERATIONS, SOLVERS, flow_table, random_work
from tests.runtime.samplers import random_table as any_table
from tests.runtime.spies import alone, error, finish, pool_of, run, work

LABELS = (2, 5)
SEED = 2**40 + 7


@pytest.fixture(scope="module")
def small():
    """A toy of the oracles' layout that is as tame over 1000 times as over one."""
    return perceptron(seed=4, layout=LAYOUT, time_gain=1e-3, gain=0.3)


@pytest.fixture(scope="module")
def small_denoiser(small, tmp_path_factory):
    return small.denoiser(tmp_path_factory.mktemp("small"))


def rounding(grid, step, scale):
    """Relative error that float32 may leave in D = (x - sigma F) / alpha of a guided F."""
    return 2e-6 * max(1.0, grid[step - 1].sigma_ve) * (1 + abs(scale))


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_previews_equal_diffusers_in_float64(small, small_denoiser, case, scale):
    noise = [
        philox.normals(SEED, draw=draw, image=1, count=LAYOUT.elements, dtype=np.float64)
        for draw in range(STEPS + 1)
    ]

    def guided(latent, time):
        cond, uncond = (small.answer(latent.reshape(-1), time, label) for label in LABELS)
        return (uncond + scale * (cond - uncond)).reshape(latent.shape)

    expected = case.estimates(guided, noise)
    pool = pool_of(small_denoiser, slots=3)
    table = case.table(scale, 3)
    other = pool.submit(work(case.table(scale, 0), (1, 1), seed=1))
    number = pool.submit(work(table, LABELS, seed=SEED, image=1, previews=3))
    finish(pool)
    assert pool.outcomes[other].error is None
    assert [(shown.number, shown.step) for shown in pool.previews] == [
        (number, step) for step in (3, 6, 9)
    ]
    for _, step, latent in pool.previews:
        assert latent.dtype == np.float32
        assert error(latent, expected[step - 1]) < rounding(case.grid, step, scale)


@pytest.mark.parametrize("operation", OPERATIONS, ids=repr)
@pytest.mark.parametrize("guidance", GUIDANCE, ids=repr)
@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_the_final_latent_has_the_bits_of_the_run_without(denoiser, solver, guidance, operation):
    plain, shown = (flow_table(solver, 5, guidance, operation, previews=every) for every in (0, 2))
    without, beside = run(
        denoiser, [work(plain, (3, 4), seed=6), work(shown, (3, 4), seed=6, previews=2)]
    )
    assert np.array_equal(without.latent.view(np.uint32), beside.latent.view(np.uint32))
    assert without.tapes == beside.tapes == ()


def test_the_last_preview_of_a_run_to_zero_noise_is_the_result(denoiser):
    """At sigma_s = 0 the step is x = D."""
    pool = pool_of(denoiser, slots=1)
    pool.submit(work(flow_table(SOLVERS[2], 6, CFG(2.0), previews=6), seed=3, previews=6))
    finish(pool)
    (shown,) = pool.previews
    assert shown.step == 6
    assert error(shown.latent, pool.take(0).latent) < 2e-6


def test_previews_come_in_the_tick_of_their_step(denoiser):
    pool = pool_of(denoiser, slots=2)
    heun = pool.submit(work(flow_table(Heun(), 4, previews=2), previews=2))
    euler = pool.submit(work(flow_table(steps=5, previews=1), previews=1))
    ticks = []
    while not pool.is_idle:
        tick(pool)
        ticks.append([(shown.number, shown.step) for shown in pool.previews])
        pool.previews.clear()
    # Heun's stages end steps 1 (one stage from alpha = 0), 2, 3 and 4 in ticks 1, 3, 5 and 6
    assert ticks == [
        [(euler, 1)],
        [(euler, 2)],
        [(heun, 2), (euler, 3)],
        [(euler, 4)],
        [(euler, 5)],
        [(heun, 4)],
    ]


def test_a_preview_is_the_receivers_own(denoiser):
    each = work(flow_table(steps=6, previews=1), seed=3, previews=1)
    pool, kept = pool_of(denoiser, slots=1), []
    pool.submit(each)
    while not pool.is_idle:
        tick(pool)
        for shown in pool.previews:
            kept.append(shown.latent.copy())
            shown.latent.fill(np.nan)
        pool.previews.clear()
    assert len(kept) == 6
    assert np.isfinite(kept).all()
    plain = work(flow_table(steps=6), seed=3)
    assert np.array_equal(pool.take(0).latent, alone(denoiser, plain).latent)


def test_previews_beside_random_others_change_nobody(denoiser):
    rng = np.random.default_rng(8)
    works = [random_work(rng)[0] for _ in range(6)]
    works += [replace(random_work(rng, any_table(rng, k))[0], previews=k) for k in (1, 2, 3)]
    order = rng.permutation(len(works))
    outcomes = run(denoiser, [works[i] for i in order], slots=4)
    for place, index in enumerate(order):
        assert np.array_equal(outcomes[place].latent, alone(denoiser, works[index]).latent)


def test_a_stage_that_breaks_shows_nothing(tmp_path):
    denoiser = perceptron(seed=2, breaks=(7, 4 / 6)).denoiser(tmp_path)
    pool = pool_of(denoiser, slots=2)
    table = flow_table(steps=6, shift=1.0, previews=1)
    bad, good = (pool.submit(work(table, (label,), previews=1)) for label in (7, 1))
    finish(pool)
    assert isinstance(pool.take(bad).error, NonFinite)
    assert [shown.step for shown in pool.previews if shown.number == bad] == [1, 2]
    assert [shown.step for shown in pool.previews if shown.number == good] == [1, 2, 3, 4, 5, 6]


def test_a_cancelled_work_shows_nothing_more(denoiser):
    pool = pool_of(denoiser, slots=1)
    number = pool.submit(work(flow_table(steps=6, previews=1), previews=1))
    tick(pool)
    tick(pool)
    pool.cancel(number, Cancelled("enough."))
    tick(pool)
    assert [shown.step for shown in pool.previews] == [1, 2]
    pool.clear()
    assert not pool.previews


def test_a_table_with_its_tape_but_no_wish_shows_nothing(denoiser):
    """Whoever wants the tape itself gets it, as with any other tap."""
    pool = pool_of(denoiser, slots=1)
    number = pool.submit(work(flow_table(steps=4, previews=2)))
    finish(pool)
    assert not pool.previews
    assert [tape.shape for tape in pool.take(number).tapes] == [(1, 60)]


def test_a_wish_without_a_tape_is_refused_at_once(denoiser):
    pool = pool_of(denoiser, slots=1)
    with pytest.raises(InvalidInput, match="no tape for them"):
        pool.submit(work(flow_table(steps=4), previews=1))
    assert pool.is_idle
