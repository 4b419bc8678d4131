"""A learned variance in the loop: one more branch of a slot, no more lanes of its engine."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime.bundle.card import TimeShape
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.loop.asks import Ask, Read, row_asks
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.plan import widest_row
from denoisert.runtime.sampling.guidance import CFG
from tests.runtime.loop.test_parking import assert_same, interrupt
from tests.runtime.networks import NULL, perceptron
from tests.runtime.samplers import flow_table, random_work
from tests.runtime.shared import GUIDED, apart, variance_table
from tests.runtime.spies import alone, bound, error, exact, finish, pool_of, run, spied, work

LABELS = (4, NULL)
PAIR = StateLayout((Part("image", (3, 4, 4)), Part("sound", (2, 7))))
KINDS = [{}, {"layout": PAIR}, {"time": TimeShape.SCALAR}, {"batch": 3}]


@pytest.fixture(scope="module")
def toy():
    """Two ports: the second half of every output's channels."""
    return perceptron(seed=7, ports=2)


@pytest.fixture(scope="module")
def denoiser(toy, tmp_path_factory):
    return toy.denoiser(tmp_path_factory.mktemp("ported"))


def separate(each):
    """The same work with a lane of its own for every branch."""
    table = apart(each.table)
    own = each.conditions[int(each.table.condition[1:, -1].max())]
    conditions = (*each.conditions[: int(table.condition.max())], own)
    return replace(each, table=table, asks=row_asks(table), conditions=conditions)


def test_rows_ask_for_lanes_that_several_branches_read():
    asks = row_asks(variance_table(4, CFG(3.0, interval=(0.5, 3.0)), shift=1.0))
    alone_, both = Ask(0, 0, (Read(0, 0), Read(2, 1))), Ask(0, 1, (Read(1, 0),))
    assert asks[0] == ()
    assert asks[1] == (alone_,)
    assert asks[2] == (alone_, both)
    assert [len(row) for row in asks] == [0, 1, 2, 2, 1]
    assert asks[1] is asks[4]
    assert (alone_.column, both.column) == (0, 1)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("guidance", GUIDED, ids=repr)
def test_results_are_those_of_the_reference(guidance, kind, tmp_path):
    toy = perceptron(seed=7, ports=2, **kind)
    each = work(variance_table(6, guidance), LABELS, seed=2**63 + 3, image=2)
    wanted = exact(toy, each, LABELS)
    found = alone(toy.denoiser(tmp_path), each)
    assert wanted.evaluations == each.table.nfe
    assert error(found.latent, wanted.latent) <= bound(each.table)


@pytest.mark.parametrize("guidance", GUIDED, ids=repr)
def test_the_engine_runs_once_a_lane(denoiser, guidance):
    """As many lanes as evaluations, and the bits of a run with a lane for every branch."""
    each = work(variance_table(6, guidance), LABELS, seed=5)
    watched, spy = spied(denoiser)
    found = alone(watched, each)
    assert spy.runs == [len(row) for row in each.table.lanes[1:]]
    assert sum(spy.runs) == each.table.nfe
    again, wide = spied(denoiser)
    assert_same(found, alone(again, separate(each)))
    assert sum(wide.runs) == apart(each.table).nfe
    assert len(wide.runs) == len(spy.runs)


def test_the_second_port_matters(denoiser):
    each = work(variance_table(5), LABELS, seed=5)
    same = replace(each.table, port=np.zeros_like(each.table.port))
    other = alone(denoiser, replace(each, table=same, asks=row_asks(same)))
    assert error(other.latent, alone(denoiser, each).latent) > 0.05


def test_a_port_that_the_card_does_not_list_is_refused(tmp_path):
    plain = perceptron(seed=7).denoiser(tmp_path)
    pool = pool_of(plain, slots=1)
    with pytest.raises(InvalidInput, match=r"reads output port 1, .* the card lists 1, counted"):
        pool.submit(work(variance_table(3)))
    assert pool.is_idle
    plain.check(variance_table(3), engine=1)  # another engine is asked for it


def any_work(rng):
    """With or without a learned variance, any guidance."""
    if rng.random() < 0.4:
        return random_work(rng)[0]
    guidance = GUIDED[int(rng.integers(len(GUIDED)))]
    table = variance_table(int(rng.integers(1, 9)), guidance, shift=float(rng.uniform(1, 3)))
    return random_work(rng, table)[0]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_in_a_batch_every_work_has_the_bits_that_it_has_alone(kind, tmp_path):
    plain = perceptron(seed=7, ports=2, **kind).denoiser(tmp_path)
    rng = np.random.default_rng(11)
    works = [any_work(rng) for _ in range(20)]
    for each, found in zip(works, run(plain, works, slots=6), strict=True):
        assert_same(found, alone(plain, each))


@pytest.mark.parametrize("seed", [1, 2])
def test_parking_changes_no_bits(denoiser, seed):
    rng = np.random.default_rng(seed)
    pool = pool_of(denoiser, slots=2)
    works = [any_work(rng) for _ in range(8)]
    urgent = variance_table(2, CFG(2.0))
    for each, found in interrupt(pool, works, rng, lambda: random_work(rng, urgent)[0]):
        assert_same(found, alone(denoiser, each))
    assert pool.parked > 3


def test_previews_show_the_clean_estimate_and_cost_nothing(denoiser, toy):
    plain, shown = (variance_table(6, CFG(2.0), previews=every) for every in (0, 2))
    watched, spy = spied(denoiser)
    pool = pool_of(watched, slots=1)
    number = pool.submit(work(shown, LABELS, seed=5, previews=2))
    finish(pool)
    assert spy.runs == [2] * 6
    assert [each[:2] for each in pool.previews] == [(number, step) for step in (2, 4, 6)]
    assert_same(pool.take(number), alone(denoiser, work(plain, LABELS, seed=5)))
    (page,) = exact(toy, work(shown, LABELS, seed=5), LABELS).tapes[-1].values()
    assert error(pool.previews[-1].latent, page) <= bound(shown)


def test_pictures_at_equal_times_share_calls_of_a_scalar_time_graph(tmp_path):
    watched, spy = spied(perceptron(seed=7, ports=2, time=TimeShape.SCALAR).denoiser(tmp_path))
    run(watched, [work(variance_table(4, CFG(2.0)), LABELS, seed=s) for s in range(3)], slots=3)
    assert spy.runs == [6] * 4


def test_lanes_and_padding_count_evaluations(tmp_path):
    pool = pool_of(perceptron(seed=7, ports=2, batch=4).denoiser(tmp_path), slots=3)
    for seed in range(3):
        pool.submit(work(variance_table(4, CFG(2.0)), LABELS, seed=seed))
    tick(pool)
    assert (pool.lanes, pool.lanes_padded) == (6, 2)


def test_a_memory_has_room_for_lanes_not_for_branches(denoiser):
    """Three branches on two lanes; a table of three lanes makes every slot wider once."""
    watched, spy = spied(denoiser)
    pool = pool_of(watched, slots=3)
    table = variance_table(8, CFG(2.0))
    assert (table.form.branches, widest_row(table), widest_row(apart(table))) == (3, 2, 3)
    works = [work(table, LABELS, seed=seed) for seed in (1, 2)]
    numbers = [pool.submit(each) for each in works]
    tick(pool)
    assert (pool.memory.form.branches, pool.memory.lanes) == (3, 2)
    assert len(pool.memory.buffers(0, 0, 99)["latent"]) == 3 * 2 + 16
    wide = separate(work(table, LABELS, seed=3))
    numbers.append(pool.submit(wide))
    tick(pool)
    assert (pool.memory.form.branches, pool.memory.lanes) == (3, 3)
    assert len(pool.memory.buffers(0, 0, 99)["latent"]) == 3 * 3 + 16
    assert spy.runs == [4, 7]
    numbers.append(pool.submit(works[0]))  # what is larger stays
    finish(pool)
    assert pool.memory.lanes == 3
    for number, each in zip(numbers, [*works, wide, works[0]], strict=True):
        assert_same(pool.take(number), alone(denoiser, each))


def test_the_bound_of_memory_counts_lanes(denoiser):
    """One more lane of three slots, in the space that is and in the one that would be copied."""
    table = variance_table(8, CFG(2.0))
    ports = (*denoiser.engine.inputs, *denoiser.engine.outputs)
    lane = sum(port.nbytes(1) for port in ports)
    before = pool_of(denoiser, slots=3)
    assert before.nbytes(apart(table)) - before.nbytes(table) == 2 * 3 * lane
    grown = pool_of(denoiser, slots=3)
    grown.submit(work(table, LABELS))
    tick(grown)
    assert grown.memory.nbytes(grown.memory.form, 3) - grown.memory.nbytes(grown.memory.form) == (
        3 * lane
    )
    grown.submit(work(flow_table(steps=2, guidance=CFG(2.0)), LABELS))
    held = grown.nbytes()
    tick(grown)
    assert grown.memory.lanes == 2
    assert grown.nbytes() == held


def test_warming_runs_every_number_of_lanes_that_slots_can_fill(denoiser):
    watched, spy = spied(denoiser)
    pool = pool_of(watched, slots=2)
    pool.submit(work(variance_table(2, CFG(2.0)), LABELS))
    finish(pool)
    spy.runs.clear()
    pool.warm()
    assert spy.runs == [4, 3, 2, 1]
