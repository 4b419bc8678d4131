"""Captured ticks: what is kept, dropped, captured again; with a stand-in for torch.cuda's graphs.

The stand-in keeps torch's rule that a memory pool is dead once its last graph has gone.
"""

import gc
from collections import Counter
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from denoisert.kernels.step.record import FORMS
from denoisert.runtime.errors import CaptureError, EngineError, OutOfMemory
from denoisert.runtime.loop import graphs
from denoisert.runtime.loop.graphs import Eager, Graphs, TickKey


class Call:
    """A bound call, of which only its identity counts."""

    def __init__(self, is_capturable=True):
        self.is_capturable = is_capturable

    def run(self, stream=None):
        raise AssertionError("the rounds launch, nobody else")


class FakeCuda:
    """torch.cuda as far as `Graphs` uses it."""

    def __init__(self):
        self.users, self.handles, self.alive = Counter(), 0, 0
        self.capturing = None
        outer = self

        class Graph:
            def __init__(self):
                self.launched, self.pool, self.is_done = 0, None, False
                outer.alive += 1

            def __del__(self):
                outer.alive -= 1
                if self.is_done:
                    outer.users[self.pool] -= 1

            def capture_begin(self, pool=None, capture_error_mode="global"):
                assert capture_error_mode == "thread_local"
                assert outer.capturing is None
                if pool in outer.users and outer.users[pool] <= 0:
                    raise RuntimeError("use_count > 0 INTERNAL ASSERT FAILED")
                outer.users[pool] += 1
                self.pool, outer.capturing = pool, self

            def capture_end(self):
                outer.capturing = None
                if outer.is_invalid:
                    outer.is_invalid = False
                    raise RuntimeError("capture failed due to a previous error")
                self.is_done = True

            def replay(self):
                assert self.is_done
                outer.replays.append(self)

        self.CUDAGraph, self.replays, self.is_invalid = Graph, [], False

    def graph_pool_handle(self):
        self.handles += 1
        return (0, self.handles)

    @staticmethod
    def stream(stream):
        return nullcontext(stream)


@pytest.fixture
def cuda(monkeypatch):
    fake = FakeCuda()
    monkeypatch.setattr(graphs, "torch", SimpleNamespace(cuda=fake))
    return fake


class Launches:
    """How often a round was launched, eagerly and into a graph."""

    def __init__(self, cuda, error=None):
        self.cuda, self.error = cuda, error
        self.eager = self.recorded = 0

    def __call__(self):
        if self.cuda.capturing is None:
            self.eager += 1
            return
        self.recorded += 1
        if self.error is not None:
            self.cuda.is_invalid = True
            raise self.error


def key_of(*calls, form=FORMS[0], passes=(False, False)):
    return TickKey(calls, form, passes)


def counts(rounds):
    names = ("captured", "replayed", "missed", "dropped")
    return tuple(rounds.counts()[f"graphs_{name}"] for name in names)


def test_eager_launches_every_time():
    launched = []
    rounds, key = Eager(), key_of(Call())
    for _ in range(3):
        rounds.run(key, lambda: launched.append(1))
    rounds.capture(key, lambda: launched.append(1))
    rounds.forget()
    assert len(launched) == 3
    assert rounds.counts() == {}


def test_a_key_is_its_calls_its_form_and_its_passes():
    one, other = Call(), Call()
    key = key_of(one)
    assert key == key_of(one)
    assert hash(key) == hash(key_of(one))
    differing = [
        key_of(other),
        key_of(one, other),
        key_of(one, form=FORMS[1]),
        key_of(one, passes=(True, False)),
        key_of(one, passes=(False, True)),
    ]
    assert len({key, *differing}) == 6
    assert key.is_capturable
    assert not key_of(one, Call(is_capturable=False)).is_capturable
    assert key_of().is_capturable


def test_a_new_key_runs_and_is_captured_then_replayed(cuda):
    rounds, key, launch = Graphs(None), key_of(Call()), Launches(cuda)
    for _ in range(5):
        rounds.run(key, launch)
    assert (launch.eager, launch.recorded, len(cuda.replays)) == (1, 1, 4)
    assert counts(rounds) == (1, 4, 1, 0)


def test_a_warmed_key_is_never_missed(cuda):
    rounds, key, launch = Graphs(None), key_of(Call()), Launches(cuda)
    for _ in range(2):
        rounds.capture(key, launch)
    rounds.run(key, launch)
    assert (launch.eager, launch.recorded) == (0, 1)
    assert counts(rounds) == (1, 1, 0, 0)


def test_every_key_has_its_own_graph_in_one_memory_pool(cuda):
    rounds, launch = Graphs(None), Launches(cuda)
    keys = [key_of(Call()) for _ in range(4)]
    for key in (*keys, *keys):
        rounds.run(key, launch)
    assert len(set(map(id, cuda.replays))) == 4
    assert {graph.pool for graph in cuda.replays} == {(0, 1)}
    assert counts(rounds) == (4, 4, 4, 0)


def test_the_least_recently_used_goes_first(cuda):
    rounds, launch = Graphs(None, most=2), Launches(cuda)
    first, second, third = (key_of(Call()) for _ in range(3))
    for key in (first, second, first, third):  # second is dropped
        rounds.run(key, launch)
    assert cuda.alive == 2
    assert counts(rounds) == (3, 1, 3, 1)
    for key in (first, third):
        rounds.run(key, launch)
    assert launch.eager == 3
    rounds.run(second, launch)
    assert launch.eager == 4
    assert counts(rounds) == (4, 3, 4, 2)


def test_one_graph_is_enough(cuda):
    rounds, launch = Graphs(None, most=1), Launches(cuda)
    for key in [key_of(Call()) for _ in range(3)] * 2:
        rounds.run(key, launch)
    assert counts(rounds) == (6, 0, 6, 5)


def test_after_forgetting_everything_is_captured_again(cuda):
    """In another memory pool: torch has given up the one whose graphs have all gone."""
    rounds, launch = Graphs(None), Launches(cuda)
    keys = [key_of(Call()) for _ in range(3)]
    for _ in range(2):
        for key in keys:
            rounds.run(key, launch)
        rounds.forget()
        gc.collect()
        assert cuda.alive == 0
    assert counts(rounds) == (6, 0, 6, 6)
    rounds.run(keys[0], launch)
    rounds.run(keys[0], launch)
    assert cuda.replays[-1].pool == (0, 3)


def test_a_graph_that_is_kept_keeps_its_buffers(cuda):
    rounds, key, launch = Graphs(None), key_of(Call()), Launches(cuda)
    rounds.run(key, launch)
    assert any(key is kept for kept in gc.get_referrers(key.calls))
    assert next(iter(rounds._graphs)).calls[0] is key.calls[0]


def test_engines_that_forbid_capture_are_launched(cuda):
    rounds, key, launch = Graphs(None), key_of(Call(), Call(False)), Launches(cuda)
    rounds.capture(key, launch)
    for _ in range(3):
        rounds.run(key, launch)
    assert (launch.eager, launch.recorded) == (3, 0)
    assert counts(rounds) == (0, 0, 3, 0)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("operation not permitted: aten::nonzero"),
        EngineError("torch failed while running: aten::nonzero"),
        OutOfMemory("torch ran out of memory: aten::nonzero"),
    ],
    ids=["torch", "engine", "memory"],
)
def test_a_failing_capture_names_its_cause_and_spoils_nothing(cuda, error):
    rounds, good, bad = Graphs(None), key_of(Call()), key_of(Call(), Call())
    fine, failing = Launches(cuda), Launches(cuda, error)
    rounds.run(good, fine)
    for _ in range(2):
        with pytest.raises(CaptureError, match=r"2 engine call.*aten::nonzero") as caught:
            rounds.run(bad, failing)
        assert caught.value.__cause__ is error
    assert failing.eager == 2  # the rounds themselves took place
    assert cuda.capturing is None
    rounds.run(good, fine)
    assert fine.eager == 1
    other = key_of(Call())
    rounds.run(other, fine)
    rounds.run(other, fine)
    assert counts(rounds) == (2, 2, 4, 0)
    assert cuda.replays[-1].pool != cuda.replays[0].pool


def test_a_launch_that_fails_is_not_captured(cuda):
    rounds, key = Graphs(None), key_of(Call())

    def launch():
        raise EngineError("injected")

    with pytest.raises(EngineError, match="injected"):
        rounds.run(key, launch)
    assert counts(rounds) == (0, 0, 1, 0)
