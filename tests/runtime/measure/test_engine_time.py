"""Times of calls, on an engine that says how long it takes."""

import weakref
from time import sleep

import numpy as np
import pytest

from denoisert.runtime.engines.engine import Port
from denoisert.runtime.measure import engine_time
from denoisert.runtime.measure.engine_time import bucket_times


class Sleeper:
    """Takes a millisecond per lane, the first call of each binding 30 ms more."""

    inputs = (Port("x", "float32", ("lanes", 3)), Port("label", "int64", ("lanes",)))
    outputs = (Port("y", "float32", ("lanes", 2)),)

    def __init__(self, *buckets):
        self.buckets = buckets
        self.bound = []
        self.order = []

    def at(self, sizes):
        return self

    def bind(self, bucket, buffers):
        self.bound.append(SleepingCall(self, bucket, buffers))
        return self.bound[-1]


class SleepingCall:
    def __init__(self, engine, bucket, buffers):
        self.engine, self.bucket, self.runs = engine, bucket, 0
        self.buffers = {name: array.copy() for name, array in buffers.items()}
        self.owned = [weakref.ref(array) for array in buffers.values()]

    def run(self, stream=None):
        assert all(reference() is not None for reference in self.owned)  # as engines own no buffer
        self.engine.order.append(self.bucket)
        self.runs += 1
        sleep(1e-3 * self.bucket + (0.03 if self.runs == 1 else 0.0))


def test_every_bucket_is_measured_with_values_of_its_ports():
    engine = Sleeper(1, 4)
    times = bucket_times(engine, (), 0.02)
    assert list(times) == [1, 4]
    for bound in engine.bound:
        assert times[bound.bucket] >= 1e-3 * bound.bucket
        x, label = bound.buffers["x"], bound.buffers["label"]
        assert (x.shape, x.dtype, x.flags.c_contiguous) == ((bound.bucket, 3), np.float32, True)
        assert np.count_nonzero(x) == x.size
        assert (label.tolist(), label.dtype) == ([0] * bound.bucket, np.int64)
        assert bound.buffers["y"].shape == (bound.bucket, 2)


def test_buckets_take_turns():
    engine = Sleeper(1, 2, 3)
    bucket_times(engine, (), 0.0)
    assert engine.order == [1, 2, 3] * (engine_time.FEWEST + engine_time.WARM_UP)


@pytest.mark.parametrize(
    ("chosen", "measured"), [((2,), [2]), ((4, 1, 9), [1, 4]), ((), [1, 2, 4]), ((3,), [1, 2, 4])]
)
def test_only_chosen_buckets_are_measured_if_the_engine_has_them(chosen, measured):
    engine = Sleeper(1, 2, 4)
    assert list(bucket_times(engine, chosen, 0.0)) == measured
    assert [bound.bucket for bound in engine.bound] == measured


def test_the_first_round_is_not_counted():
    assert min(bucket_times(Sleeper(1), (), 0.0)[1] for _ in range(3)) < 0.03


@pytest.mark.parametrize(("seconds", "runs"), [(0.0, engine_time.FEWEST), (9.0, engine_time.MOST)])
def test_rounds_are_at_least_five_and_at_most_a_hundred(seconds, runs):
    engine, reports = Sleeper(0), []
    bucket_times(engine, (), seconds, lambda done, total: reports.append((done, total)))
    assert engine.bound[0].runs == runs + engine_time.WARM_UP
    assert reports[-1] == (runs, runs)
    assert all(done <= total <= engine_time.MOST for done, total in reports)
