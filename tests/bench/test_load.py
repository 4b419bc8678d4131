"""What the load benchmark says about trials whose figures are known."""

from pathlib import Path

import pytest

from bench.case import Setting, Size
from bench.runtime import bench_load
from denoisert.runtime.measure.load import Closed, Open, Outcome, Sample, Trial
from denoisert.runtime.measure.record import Machine

MACHINE = Machine("c" * 40, False, "2026-01-01T00:00:00+00:00", "Chip 9", "6.1", "", 2, {"a": "1"})
SETTING = Setting(Size.TINY, MACHINE, Path())
SAMPLES = (
    Sample(0.0, 0.0, 0.5, Outcome.DONE, 1),
    Sample(0.5, 0.6, 0.603, Outcome.REFUSED, 1),
    Sample(1.0, 1.0, 1.7, Outcome.DONE, 1),
    Sample(1.0, 1.0, 2.02, Outcome.EXPIRED, 1),
    Sample(1.2, 1.3, 2.31, Outcome.EXPIRED, 1),
    Sample(1.9, 1.9, 2.9, Outcome.DONE, 1),
)


OPEN = Open(3.0, "1.1x")


def record(load=OPEN, samples=SAMPLES):
    trial = Trial(load, 2.0, samples, client_s=0.029, submit_s=0.01)
    return bench_load._record("runtime/load", SETTING, trial, 1.0)


def test_latency_is_that_of_the_answered():
    found = record()
    assert (found.median, found.repeats) == (pytest.approx(700.0), (0, 3))
    assert found.extra["p99_ms"] == 1000.0
    assert found.provider == "denoisert, open loop, 1.1x"


def test_throughput_counts_the_window_only():
    assert record().extra["answered_per_s"] == 1.0  # 2 answers in 2 s; the third came later
    assert record().extra["offered_per_s"] == 3.0


def test_every_other_end_has_its_figures():
    extra = record().extra
    assert [extra[each.value] for each in Outcome] == [3.0, 1.0, 2.0, 0.0]
    assert extra["refused_within_ms"] == pytest.approx(103.0)  # from the intended arrival
    assert extra["expired_late_ms"] == pytest.approx(
        20.0
    )  # counted from `submit`, as deadlines are
    assert extra["client_percent"] == pytest.approx(1.0)


def test_a_load_without_answers_is_a_record_too():
    found = record(samples=SAMPLES[1:2])
    assert (found.median, found.extra["p99_ms"], found.extra["done"]) == (0.0, 0.0, 0.0)


def test_a_window_without_arrivals_is_a_record_too():
    found = record(samples=())
    assert (found.median, found.extra["answered_per_s"], found.repeats) == (0.0, 0.0, (0, 1))


def test_a_closed_loop_offers_no_rate():
    found = record(load=Closed(8))
    assert (found.extra["offered_per_s"], found.provider) == (
        0.0,
        "denoisert, closed loop, 8 clients",
    )


def test_the_shares_are_those_of_the_promise():
    assert bench_load.SHARES == (0.5, 0.9, 1.1, 2.0)
    assert bench_load.SECONDS[Size.FULL] == 60.0
