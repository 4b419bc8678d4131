"""Records of loads and their text."""

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime.errors import DeadlineExceeded, NonFinite
from denoisert.runtime.measure.load import Closed, Open, Outcome, measure
from denoisert.runtime.measure.record import Machine, Record
from denoisert.runtime.measure.summary import OTHER, PHASES, Setting, number, text
from denoisert.runtime.request import Request
from tests.runtime.measure.virtual import Server, run

MACHINE = Machine("c" * 40, False, "2026-01-01T00:00:00+00:00", "Chip 9", "6.1", "", 2, {"a": "1"})
SETTING = Setting("toy", "b" * 64, "default 1234", MACHINE, {"threads": 2.0, "slots": 8.0})


def record(load, seconds, service=lambda seed: 0.1, errors=None, **server):
    async def whole():
        served = Server(service, **server)

        def submit(request):
            if errors and request.seed in errors:
                return fail(errors[request.seed])
            return served.submit(request)

        return await measure(load, submit, lambda n: Request(seed=n, images=2), seconds=seconds)

    async def fail(error):
        raise error

    return SETTING.trial(run(whole()), 5)


def test_a_closed_loop_in_figures():
    times = np.linspace(0.05, 0.15, 400)
    found = record(Closed(1), 20.0, service=lambda seed: times[seed])
    assert found.case == "load/toy closed loop, 1 client"
    assert (found.provider, found.unit) == ("denoisert", "ms")
    count = int(number(found, "done"))
    assert found.repeats == (5, count)
    used = 1e3 * times[:count]
    assert found.median == pytest.approx(np.median(used))
    assert found.p10 == pytest.approx(np.quantile(used, 0.1))
    assert found.p90 == pytest.approx(np.quantile(used, 0.9, method="inverted_cdf"))
    expected = {"min": used.min(), "mean": used.mean(), "max": used.max()}
    expected |= {"p99": np.quantile(used, 0.99, method="inverted_cdf")}
    for key, value in expected.items():
        assert number(found, key) == pytest.approx(value), key
    assert number(found, "requests_per_s") == pytest.approx(1e3 / used.mean(), rel=0.01)
    assert number(found, "pictures_per_s") == pytest.approx(2 * number(found, "requests_per_s"))
    assert (found.extra["load"], number(found, "clients")) == ("closed", 1)


def test_percentiles_of_two_requests_are_latencies_that_occurred():
    found = record(Closed(1), 0.5, service=lambda seed: (0.1, 0.45)[seed])
    assert number(found, "done") == 2
    assert found.p90 == number(found, "p99") == number(found, "max") == pytest.approx(450.0)
    assert found.median == pytest.approx(275.0)
    assert "p99_bound" not in found.extra


def test_the_bound_of_a_percentile_is_kept_where_there_is_one():
    found = record(Closed(1), 60.0)
    assert number(found, "done") >= 299
    assert number(found, "p99_bound") == pytest.approx(100.0)


def test_the_wait_of_others_is_no_phase_of_ones_own():
    async def slow():
        server = Server(lambda seed: 0.1)

        async def submit(request):
            answer = await server.submit(request)
            await asyncio.sleep(0.05)  # the caller gets its answer late
            return answer

        return await measure(Closed(1), submit, lambda n: Request(seed=n), seconds=3.0)

    found = SETTING.trial(run(slow()), 0)
    assert number(found, f"phase_{OTHER}") == pytest.approx(50.0)
    assert number(found, "mean") == pytest.approx(150.0)


def test_shared_settings_stand_in_every_record():
    for found in (record(Closed(1), 1.0), SETTING.once("open", 12.5)):
        assert (found.machine, found.extra["bundle"]) == (MACHINE, "b" * 64)
        assert (found.extra["mix"], found.extra["threads"]) == ("default 1234", 2.0)
        assert float(found.extra["load_average"]) >= 0


def test_phases_sum_up_to_the_latency():
    found = record(Closed(3), 10.0)
    whole = sum(number(found, f"phase_{name}") for name in (*PHASES, OTHER))
    assert whole == pytest.approx(number(found, "mean"))
    assert number(found, "phase_ticks") == pytest.approx(100.0)
    assert number(found, "phase_engine") == pytest.approx(90.0)
    assert number(found, "phase_queue") == pytest.approx(200.0, rel=0.03)


def test_ends_of_every_kind_are_counted():
    errors = {1: DeadlineExceeded("late"), 2: NonFinite("slot 3 is NaN")}
    found = record(Open(20.0, "2x"), 10.0, queue=2, errors=errors)
    counts = {outcome: number(found, outcome.value) for outcome in Outcome}
    assert counts[Outcome.EXPIRED] == counts[Outcome.FAILED] == 1
    assert counts[Outcome.REFUSED] > 50
    assert sum(counts.values()) == number(found, "sent")
    assert found.extra["first_error"] == "NonFinite: slot 3 is NaN"
    assert number(found, "refusal_max") == 0.0
    assert number(found, "offered_per_s") == 20.0
    assert number(found, "requests_per_s") == pytest.approx(10.0, rel=0.03)
    assert found.case == "load/toy open loop, 2x"


def test_a_record_goes_to_json_and_back():
    for found in (record(Closed(2), 3.0), record(Open(3.0), 0.001), SETTING.once("open", 1.0)):
        strict = json.loads(found.line(), parse_constant=lambda name: 1 / 0)
        assert strict["case"] == found.case
        assert Record.from_line(found.line(), "here") == found


def test_the_text_has_trtexecs_words():
    lines = list(text(record(Closed(4), 60.0)))
    assert lines[0] == "=== load/toy closed loop, 4 clients, 60 s ==="
    assert lines[1].startswith("Throughput: 10.0")
    assert "pictures/s" in lines[1]
    words = ("min =", "max =", "mean =", "median =", "percentile(90%) =", "percentile(99%) =")
    assert all(word in lines[2] for word in words)
    assert lines[3].startswith("Phases (mean): plan = 0.0 ms, queue = ")
    assert "603 sent, 603 done, 0 refused, 0 expired, 0 failed" in lines[4]
    assert "% of a core" in lines[-1]


def test_a_percentile_of_few_requests_says_so():
    few = "\n".join(text(record(Closed(1), 5.0)))
    assert "rests on 50 requests; 299 are needed" in few or "rests on 51 requests" in few
    assert "rests on" not in "\n".join(text(record(Closed(1), 40.0)))


def test_the_text_of_refusals_and_errors():
    errors = {1: NonFinite("slot 3 is NaN")}
    lines = "\n".join(text(record(Open(20.0), 5.0, queue=2, errors=errors)))
    assert "Refused within: percentile(99%) = 0.0 ms, max = 0.0 ms" in lines
    assert "First error: NonFinite: slot 3 is NaN" in lines


def test_a_load_without_any_answer_is_a_record_too():
    found = record(Open(5.0), 2.0, errors={n: DeadlineExceeded("late") for n in range(99)})
    assert number(found, "done") == 0
    assert "Latency: no request was answered" in list(text(found))


def test_what_happens_once_is_one_line():
    assert list(text(SETTING.once("open", 12.34))) == ["load/toy open: 12.3 ms"]


def test_a_text_among_the_extras_is_no_figure():
    found = replace(SETTING.once("open", 1.0), extra={"load": "closed"})
    assert number(found, "load") == number(found, "missing") == 0.0
