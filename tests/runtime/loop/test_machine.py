"""Random schedules of everything a pool offers, against a small model of what must hold."""

import functools
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from denoisert.runtime.errors import Cancelled, EngineError, NonFinite
from denoisert.runtime.loop.tick import tick
from tests.runtime.networks import perceptron
from tests.runtime.samplers import GUIDANCE, SOLVERS, flow_table, wide_table
from tests.runtime.spies import alone, pool_of, spied, work

BAD_CLASS = 7
SLOTS, MOST_STEPS = 3, 6


@functools.cache
def table_of(solver, guidance, steps, previews):
    if solver is None:
        return wide_table(5 + guidance % 4, steps)
    return flow_table(SOLVERS[solver], steps, GUIDANCE[guidance], shift=1.0, previews=previews)


works = st.builds(
    lambda solver, guidance, steps, label, seed, priority, previews: work(
        table_of(solver, guidance, steps, 0 if solver is None else previews),
        (label, 3),
        seed=seed,
        priority=priority,
        previews=0 if solver is None else previews,
    ),
    solver=st.none() | st.integers(0, len(SOLVERS) - 1),
    guidance=st.integers(0, len(GUIDANCE) - 1),
    steps=st.integers(1, MOST_STEPS),
    label=st.sampled_from([0, 1, 2, BAD_CLASS]),
    seed=st.integers(0, 3),
    priority=st.integers(-1, 2),
    previews=st.integers(0, 2),
)


class Schedule(RuleBasedStateMachine):
    """Submits, cancels, ticks, failing engines; the subclass gives the denoiser and the arena."""

    denoiser = None
    arena_rows = 4096
    numbers = Bundle("numbers")

    def __init__(self):
        super().__init__()
        watched, self.spy = spied(self.denoiser)
        self.pool = pool_of(watched, slots=SLOTS, arena_rows=self.arena_rows)
        self.works, self.causes, self.ended = {}, {}, {}
        self.failures = 0
        self.shown = Counter()

    @rule(target=numbers, each=works)
    def submit(self, each):
        number = self.pool.submit(each)
        assert number not in self.works
        self.works[number] = each
        return number

    @rule(number=numbers)
    def cancel(self, number):
        error = Cancelled(f"{number}")
        if self.pool.cancel(number, error):
            assert number not in self.ended
            self.causes[number] = error

    @rule(number=consumes(numbers))
    def cancel_in_the_prologue(self, number):
        self.pool.admit()
        self.cancel(number)

    @rule(count=st.integers(1, 4))
    def tick(self, count):
        for _ in range(count):
            self.run_one()

    @rule()
    def tick_with_a_failing_engine(self):
        self.pool.admit()
        if self.pool.active:
            self.failures += 1
            self.spy.failing.add(len(self.spy.runs) + 1)
            failing = self.pool.running
            self.run_one()
            assert not set(self.pool.running) & set(failing)
            for number in failing:
                assert isinstance(self.ended[number].error, EngineError)
                self.causes[number] = self.ended[number].error

    def run_one(self):
        self.pool.admit()
        self.assert_order()
        before = {slot.number: slot.counter for slot in self.pool.active}
        times = tick(self.pool)
        assert times.slots == len(before)
        assert self.pool.lanes <= SLOTS * 2
        for slot in self.pool.active:
            assert slot.counter == before[slot.number] + 1
        for shown in self.pool.previews:
            self.shown[shown.number] += 1
            assert shown.step % self.works[shown.number].previews == 0
        self.pool.previews.clear()
        self.collect()

    def collect(self):
        for number in list(self.pool.outcomes):
            assert number not in self.ended
            self.ended[number] = self.pool.take(number)

    def assert_order(self):
        """Who runs is at least as urgent as who waits, and among equals came earlier.

        In a narrow arena a work may run that would not help a more urgent one by making way.
        """
        if not self.pool.waiting:
            return
        first = self.pool.waiting.first
        rank = (-first.work.priority, first.number)
        later = [slot for slot in self.pool.active if (-slot.work.priority, slot.number) > rank]
        if self.arena_rows > SLOTS * (2 * MOST_STEPS + 1):
            assert not later
            assert len(self.pool.running) == SLOTS
        lower = [slot.work.table for slot in later if slot.work.priority < first.work.priority]
        assert not lower or not self.pool._seats.arena.fits(first.work.table, without=lower)

    @invariant()
    def everyone_is_in_one_place(self):
        self.collect()
        places = Counter([waiter.number for waiter in self.pool.waiting])
        places.update(self.pool.running)
        places.update(self.ended.keys())
        assert places == Counter(self.works.keys())
        for number in (*self.pool.running, *(waiter.number for waiter in self.pool.waiting)):
            progress = self.pool.progress(number)
            assert 0 <= progress.stage < progress.stages
            assert 0 <= progress.step <= progress.steps <= progress.stages

    @invariant()
    def rows_are_held_by_who_runs(self):
        held = Counter(slot.work.table.fingerprint for slot in self.pool.active)
        for lease in self.pool._seats.arena.leases:
            assert lease.references == held[lease.table.fingerprint]
        assert len({slot.index for slot in self.pool.active}) == len(self.pool.active)

    def teardown(self):
        left = sum(self.works[n].table.stages for n in self.works if n not in self.ended)
        for _ in range(left + 1):
            if self.pool.is_idle:
                break
            self.run_one()
        assert self.pool.is_idle  # every tick brought somebody further
        assert self.ended.keys() == self.works.keys()
        assert not any(lease.references for lease in self.pool._seats.arena.leases)
        for number, outcome in self.ended.items():
            self.assert_outcome(number, outcome)

    def assert_outcome(self, number, outcome):
        each = self.works[number]
        if number in self.causes:
            assert outcome.error is self.causes[number]
            return
        wanted = solo(self.denoiser, each)
        assert type(outcome.error) is type(wanted.error)
        if wanted.error is not None:
            assert isinstance(wanted.error, NonFinite)
            assert str(outcome.error) == str(wanted.error)
            return
        assert np.array_equal(outcome.latent.view(np.uint32), wanted.latent.view(np.uint32))
        steps = int(each.table.steps[-1])
        assert self.shown[number] == (steps // each.previews if each.previews else 0)


SOLO = {}


def solo(denoiser, each):
    """What the work is alone, computed once for all schedules."""
    key = (id(denoiser), each.table.fingerprint, str(each.conditions), each.seed)
    if key not in SOLO:
        SOLO[key] = alone(denoiser, each)
    return SOLO[key]


@pytest.fixture(scope="module")
def breaking(tmp_path_factory):
    toy = perceptron(seed=2, breaks=(BAD_CLASS, 4 / 6))
    return toy.denoiser(tmp_path_factory.mktemp("breaking"))


@pytest.mark.parametrize("arena_rows", [4096, 16], ids=["wide arena", "narrow arena"])
def test_random_schedules(breaking, arena_rows):
    kind = type("Schedule", (Schedule,), {"denoiser": breaking, "arena_rows": arena_rows})
    run_state_machine_as_test(
        kind,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("arena_rows", "examples"), list(product([4096, 40, 16], [400])))
def test_many_random_schedules(breaking, arena_rows, examples):
    kind = type("Schedule", (Schedule,), {"denoiser": breaking, "arena_rows": arena_rows})
    run_state_machine_as_test(
        kind,
        settings=settings(
            max_examples=examples,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
