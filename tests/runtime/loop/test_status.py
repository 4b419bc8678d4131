"""What becomes of the others when one picture, or an engine, fails."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime.errors import EngineError, InvalidInput, InvalidTable, NonFinite
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.solvers import DDIM, Heun
from tests.runtime.networks import perceptron
from tests.runtime.samplers import flow_table, random_work
from tests.runtime.spies import alone, finish, pool_of, run, spied, work

BAD_CLASS = 7


@pytest.fixture(scope="module")
def breaking(tmp_path_factory):
    """A network that answers NaN for one class at the third time of six steps, shift 1."""
    toy = perceptron(seed=2, breaks=(BAD_CLASS, 4 / 6))
    return toy.denoiser(tmp_path_factory.mktemp("breaking"))


@pytest.mark.parametrize("solver", [DDIM(), DDIM(eta=1.0), Heun()], ids=repr)
@pytest.mark.parametrize("guidance", [None, CFG(3.0), CFG(3.0, rescale=0.5)], ids=repr)
def test_only_the_slot_that_became_nan_fails(breaking, solver, guidance):
    tables = [flow_table(solver, 6, guidance, shift=1.0), flow_table(solver, 9, guidance)]
    works = [work(tables[i % 2], (i, 3), seed=i) for i in (0, 1, BAD_CLASS - 1, 2, 5, 8)]
    works.insert(2, work(tables[0], (BAD_CLASS, 3), seed=99, image=2))
    outcomes = run(breaking, works, slots=4)
    failed = outcomes.pop(2)
    assert isinstance(failed.error, NonFinite)
    assert failed.latent is None
    message = str(failed.error)
    assert "picture 2 of seed 99 became NaN or infinite at stage 3 of" in message
    assert "sigma = 0.666667" in message
    for each, found in zip([*works[:2], *works[3:]], outcomes, strict=True):
        assert np.array_equal(found.latent, alone(breaking, each).latent)


def test_the_uncond_branch_can_break_a_picture_too(breaking):
    table = flow_table(DDIM(), 6, CFG(2.0), shift=1.0)
    spared = flow_table(DDIM(), 6, CFG(2.0, interval=(3.0, 100.0)), shift=1.0)
    broken, whole = run(breaking, [work(t, (1, BAD_CLASS), seed=1) for t in (table, spared)])
    assert isinstance(broken.error, NonFinite)
    assert whole.error is None


def test_works_behind_a_failed_one_still_run(breaking):
    table = flow_table(steps=6, shift=1.0)
    works = [work(table, (label,), seed=5) for label in (BAD_CLASS, BAD_CLASS, 1, BAD_CLASS, 2)]
    outcomes = run(breaking, works, slots=1)
    assert [type(each.error) for each in outcomes] == [
        *(NonFinite, NonFinite, type(None), NonFinite, type(None))
    ]
    for index in (2, 4):
        assert np.array_equal(outcomes[index].latent, alone(breaking, works[index]).latent)


def test_nan_leaves_nothing_behind_in_its_slot(breaking):
    rng = np.random.default_rng(3)
    works = [work(flow_table(DDIM(eta=1.0), 6, CFG(3.0, rescale=0.7), shift=1.0), (BAD_CLASS, 1))]
    works += [random_work(rng)[0] for _ in range(6)]
    for each, found in zip(works[1:], run(breaking, works, slots=1)[1:], strict=True):
        assert np.array_equal(found.latent, alone(breaking, each).latent)


def test_engine_failure_ends_every_active_work_with_one_error(denoiser):
    failing, _ = spied(denoiser, failing={3})
    rng = np.random.default_rng(4)
    works = [random_work(rng, flow_table(steps=5 + i))[0] for i in range(7)]
    pool = pool_of(failing, slots=4)
    numbers = [pool.submit(each) for each in works]
    finish(pool)
    outcomes = [pool.take(number) for number in numbers]
    errors = {id(outcome.error) for outcome in outcomes[:4]}
    assert len(errors) == 1
    assert isinstance(outcomes[0].error, EngineError)
    assert "injected" in str(outcomes[0].error)
    for each, found in zip(works[4:], outcomes[4:], strict=True):
        assert np.array_equal(found.latent, alone(denoiser, each).latent)
    again = pool.submit(works[0])
    finish(pool)
    assert np.array_equal(pool.take(again).latent, alone(denoiser, works[0]).latent)
    assert not pool.outcomes


def test_every_tick_may_fail_and_every_work_ends_once(denoiser):
    failing, _ = spied(denoiser, failing=range(1, 100, 2))
    works = [work(flow_table(steps=1 + i % 3), seed=i) for i in range(12)]
    pool = pool_of(failing, slots=2)
    numbers = [pool.submit(each) for each in works]
    finish(pool)
    assert sorted(pool.outcomes) == numbers
    assert {outcome.error is None for outcome in pool.outcomes.values()} == {True, False}
    for number, each in zip(numbers, works, strict=True):
        found = pool.take(number)
        assert (found.latent is None) == (found.error is not None)
        assert found.error or np.array_equal(found.latent, alone(denoiser, each).latent)


def test_a_table_that_never_fits_is_refused_at_once(denoiser):
    pool = pool_of(denoiser, slots=1, arena_rows=6)
    with pytest.raises(InvalidTable, match="6 stages, the pool's arena holds 6 rows"):
        pool.submit(work(flow_table(steps=6)))
    assert pool.is_idle
    fits = pool.submit(work(flow_table(steps=5)))
    finish(pool)
    assert pool.take(fits).error is None


def test_a_work_that_lacks_what_its_table_reads_is_refused_at_once(denoiser):
    pool = pool_of(denoiser, slots=1)
    with pytest.raises(InvalidInput, match="evaluates 2 conditions, the work has 1"):
        pool.submit(work(flow_table(guidance=CFG(2.0)), (3,)))
    source = work(flow_table(strength=0.5), (3,))
    with pytest.raises(InvalidInput, match=r"1 pages of 60 numbers of external 'source'.* none"):
        pool.submit(source)
    for shape in ((60,), (0, 60), (1, 59)):
        with pytest.raises(InvalidInput, match="source"):
            pool.submit(replace(source, externals={"source": np.zeros(shape, np.float32)}))
    assert pool.is_idle


def test_clear_forgets_everything_and_the_pool_goes_on(denoiser):
    pool = pool_of(denoiser, slots=2)
    works = [work(flow_table(steps=2 + i), seed=i) for i in range(5)]
    for each in works:
        pool.submit(each)
    for _ in range(3):
        tick(pool)
    assert pool.outcomes
    pool.clear()
    assert pool.is_idle
    assert not pool.outcomes
    assert all(lease.references == 0 for lease in pool._seats.arena.leases)
    number = pool.submit(works[4])
    finish(pool)
    assert np.array_equal(pool.take(number).latent, alone(denoiser, works[4]).latent)


def test_an_outcome_is_taken_once(denoiser):
    pool = pool_of(denoiser, slots=1)
    number = pool.submit(work(flow_table(steps=1)))
    finish(pool)
    pool.take(number)
    with pytest.raises(KeyError):
        pool.take(number)


def test_a_closed_pool_lets_go_of_its_engine(tmp_path):
    denoiser = perceptron(seed=1).denoiser(tmp_path)
    pool = pool_of(denoiser, slots=2)
    pool.submit(work(flow_table(steps=2)))
    finish(pool)
    session = weakref.ref(denoiser.engine._opened.session)
    pool.close()
    denoiser.engine.close()
    gc.collect()
    assert session() is None
