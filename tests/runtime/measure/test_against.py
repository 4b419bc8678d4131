"""What is compared with what, and when it is judged."""

from dataclasses import replace

import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.against import comparisons, latest, read, regressions
from denoisert.runtime.measure.record import Machine, Record

MACHINE = Machine("c" * 40, False, "2026-01-01T00:00:00+00:00", "Chip 9", "6.1", "", 2, {"a": "1"})
EXTRA = {"requests_per_s": 8.0, "mix": "default", "threads": 2.0}
RECORD = Record("load/x", "denoisert", "float32", "ms", 10.0, 8.0, 12.0, (1, 9), MACHINE, EXTRA)


def changed(*, extra=None, machine=None, **fields):
    whole = replace(RECORD, extra=EXTRA | (extra or {}), **fields)
    return replace(whole, machine=replace(MACHINE, **(machine or {})))


def only(old, new):
    (found,) = comparisons(old, new)
    return found


def test_ratios_are_new_over_old():
    found = only([RECORD], [changed(median=15.0, extra={"requests_per_s": 6.0})])
    assert (found.ratio, found.rate, found.obstacle) == (1.5, 0.75, "")
    assert str(found) == ("load/x (denoisert): 10 -> 15, 1.50 times, throughput 0.75 times; SLOWER")


@pytest.mark.parametrize(
    ("changes", "is_slower"),
    [
        ({"median": 12.5}, False),
        ({"median": 12.6}, True),
        ({"median": 5.0}, False),
        ({"extra": {"requests_per_s": 6.5}}, False),
        ({"extra": {"requests_per_s": 6.3}}, True),
        ({"median": 5.0, "extra": {"requests_per_s": 1.0}}, True),
    ],
)
def test_slower_is_a_longer_median_or_a_smaller_throughput(changes, is_slower):
    assert only([RECORD], [changed(**changes)]).is_slower is is_slower


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"median": 12.5}, "within 1.25 times"),
        ({"median": 8.0}, "within 1.25 times"),
        ({"median": 7.9}, "faster"),
        ({"extra": {"requests_per_s": 10.1}}, "faster"),
        ({"median": 7.0, "extra": {"requests_per_s": 6.0}}, "SLOWER"),
    ],
)
def test_the_verdict_allows_for_what_two_runs_differ_by(changes, verdict):
    assert only([RECORD], [changed(**changes)]).verdict == verdict


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"machine": {"device": "Chip 10"}}, "Chip 9 with 2"),
        ({"machine": {"cores": 4}}, "Chip 9 with 2"),
        ({"extra": {"mix": "other"}}, "another mix"),
        ({"extra": {"threads": 1.0, "slots": 4.0}}, "another threads and slots"),
        ({"extra": {"queue": 2.0}}, "another queue"),
        ({"dtype": "float16"}, "another dtype"),
        ({"repeats": (0, 1)}, "measured only once"),
    ],
)
def test_what_is_not_the_same_gets_ratios_and_no_judgement(changes, says):
    found = only([RECORD], [changed(median=90.0, **changes)])
    assert found.ratio == 9.0
    assert not found.is_slower
    assert says in found.verdict
    assert regressions([RECORD], [changed(median=90.0, **changes)]) == []


def test_a_record_of_the_same_device_is_preferred_to_a_later_one():
    foreign = changed(median=1.0, machine={"device": "Chip 10", "date": "2026-03-01"})
    assert only([foreign, RECORD], [changed(median=11.0)]).old == 10.0


def test_other_cases_units_and_providers_are_no_pair():
    new = [changed(case="y"), changed(unit="s"), changed(provider="torch")]
    assert list(comparisons([RECORD], new)) == []


def test_records_without_throughput_are_judged_by_their_median():
    bare = replace(RECORD, extra={})
    found = only([bare], [replace(bare, median=9.0)])
    assert found.rate is None
    assert "throughput" not in str(found)


def test_a_median_of_nothing_is_no_division_by_zero():
    assert only([changed(median=0.0)], [RECORD]).is_slower


def test_the_last_record_of_a_case_counts():
    new = changed(median=7.0, machine={"date": "2026-02-01"})
    assert list(latest([new, RECORD]).values()) == [new]


def test_a_file_of_lines_is_read_and_a_bad_line_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(f"{RECORD.line()}\n\n{changed(median=3.0).line()}\n")
    assert read(path) == [RECORD, changed(median=3.0)]
    path.write_text(f"{RECORD.line()}\nx\n")
    with pytest.raises(InvalidInput, match=r"a\.jsonl line 2"):
        read(path)
