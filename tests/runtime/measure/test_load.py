"""The load generator on servers whose behaviour is known, with a clock that jumps."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from denoisert.runtime import Limits, Runtime
from denoisert.runtime.errors import Cancelled, DeadlineExceeded, InvalidInput
from denoisert.runtime.measure.load import BACK_OFF_S, Closed, Open, Outcome, measure
from denoisert.runtime.request import Request
from tests.runtime.measure.virtual import Answer, Server, run

STORED = Path(__file__).parents[2] / "data" / "format-1.bundle"


def draw(number):
    return Request(seed=number, images=1 + number % 2)


def trial(load, seconds, service=lambda seed: 0.1, submit=None, **server):
    async def whole():
        chosen = submit or Server(service, **server).submit
        return await measure(load, chosen, draw, seconds=seconds, seed=3)

    return run(whole())


def test_one_client_sends_when_it_has_its_answer():
    found = trial(Closed(1), 0.95)
    assert [each.due for each in found.samples] == pytest.approx(list(np.arange(10) / 10))
    assert all(each.latency_ms == pytest.approx(100) for each in found.samples)
    assert (len(found.counted), found.span) == (9, pytest.approx(0.9))
    assert [each.images for each in found.samples] == [1, 2] * 5


@pytest.mark.parametrize("clients", [1, 2, 3, 8])
def test_clients_share_the_workers(clients):
    found = trial(Closed(clients), 60.0, workers=2)
    rate = len(found.counted) / found.span
    assert rate == pytest.approx(10.0 * min(clients, 2), rel=0.02)
    latency = np.mean([each.latency_ms for each in found.samples])
    assert latency == pytest.approx(1e3 * clients / rate, rel=0.02)  # Little's law


def test_throughput_of_a_short_closed_loop_ends_with_an_answer():
    found = trial(Closed(1), 2.0, service=lambda seed: 1.5)
    assert [each.end for each in found.samples] == pytest.approx([1.5, 3.0])
    assert len(found.counted) / found.span == pytest.approx(1 / 1.5)


def test_a_window_shorter_than_one_answer_still_has_a_throughput():
    found = trial(Closed(2), 0.5, service=lambda seed: 1.0)
    assert (len(found.counted), found.span) == (2, pytest.approx(2.0))


def test_an_open_loop_waits_as_queueing_theory_says():
    # M/D/1 at load 0.6: mean wait = rho s / (2 (1 - rho)). Source: Pollaczek and Khinchine.
    found = trial(Open(6.0), 1_000.0)
    wait = np.mean([each.latency_ms for each in found.samples]) / 1e3 - 0.1
    assert wait == pytest.approx(0.6 * 0.1 / (2 * 0.4), rel=0.15)
    assert len(found.counted) / found.span == pytest.approx(6.0, rel=0.04)


def test_an_open_loop_with_exponential_service_waits_longer():
    # M/M/1 at load 0.6: mean time in the system = s / (1 - rho).
    times = np.random.default_rng(11).exponential(0.1, size=20_000)
    found = trial(Open(6.0), 1_000.0, service=lambda seed: times[seed])
    latency = np.mean([each.latency_ms for each in found.samples]) / 1e3
    assert latency == pytest.approx(0.1 / 0.4, rel=0.2)


def test_a_stall_is_charged_to_everyone_it_kept_waiting():
    stall = {"service": lambda seed: 0.01, "stall": (10.0, 12.0)}
    arrivals = trial(Open(20.0), 30.0, **stall)
    slow = [each for each in arrivals.samples if each.latency_ms > 500]
    assert len(slow) == pytest.approx(30, abs=15)  # 20 a second for a second and a half
    closed = trial(Closed(1), 30.0, **stall)
    assert sum(each.latency_ms > 500 for each in closed.samples) == 1


def test_a_generator_that_is_held_up_still_counts_from_the_intended_arrival():
    async def whole():
        loop = asyncio.get_running_loop()
        blocked = []

        def submit(request):
            if not blocked:  # as if validation of one request took two seconds of this thread
                blocked.append(1)
                loop.selector.time += 2.0
            return asyncio.sleep(0.0, Answer({}))

        return await measure(Open(10.0), submit, draw, seconds=5.0, seed=1)

    found = run(whole())
    late = [each for each in found.samples if each.lag_ms > 0]
    assert len(late) > 5
    assert max(each.lag_ms for each in late) > 1500
    assert all(each.latency_ms >= each.lag_ms for each in found.samples)


def test_a_full_queue_refuses_and_the_rest_waits_at_most_for_it():
    found = trial(Open(20.0), 300.0, queue=4)
    refused = found.of(Outcome.REFUSED)
    assert len(refused) / len(found.samples) == pytest.approx(0.5, abs=0.03)
    assert max(each.latency_ms for each in refused) == 0.0
    assert max(each.latency_ms for each in found.of(Outcome.DONE)) <= 1e3 * (4 + 1) * 0.1 + 1e-6
    assert len(found.counted) / found.span == pytest.approx(10.0, rel=0.02)


def test_a_refused_client_of_a_closed_loop_waits_before_it_asks_again():
    found = trial(Closed(4), 10.0, queue=1)
    assert found.of(Outcome.REFUSED)
    assert len(found.of(Outcome.REFUSED)) <= 3 * (10.0 / BACK_OFF_S + 1)
    assert len(found.of(Outcome.DONE)) == pytest.approx(100, abs=3)


def test_every_end_is_counted_once_and_nothing_else_is_swallowed():
    errors = {1: DeadlineExceeded("late"), 2: Cancelled("gone"), 3: InvalidInput("bad")}

    async def answer(request):
        await asyncio.sleep(0.1)
        if request.seed in errors:
            raise errors[request.seed]
        return Answer({"ticks": 1.0})

    found = trial(Open(10.0), 3.0, submit=answer)
    assert len(found.of(Outcome.EXPIRED)) == 1
    failed = found.of(Outcome.FAILED)
    assert sorted(each.error for each in failed) == ["Cancelled: gone", "InvalidInput: bad"]
    assert sum(len(found.of(each)) for each in Outcome) == len(found.samples)
    assert all(each.phases == {"ticks": 1.0} for each in found.of(Outcome.DONE))

    async def broken(request):
        raise ZeroDivisionError

    for load in (Closed(2), Open(5.0)):
        with pytest.raises(ExceptionGroup) as caught:
            trial(load, 1.0, submit=broken)
        assert caught.group_contains(ZeroDivisionError)


def test_the_same_seed_offers_the_same_load():
    first, again = (trial(Open(7.0), 50.0) for _ in range(2))
    assert [each.due for each in first.samples] == [each.due for each in again.samples]


def test_numbers_continue_where_they_are_told():
    async def whole():
        server = Server(lambda seed: 0.1)
        await measure(Closed(1), server.submit, draw, seconds=0.35, first=40)
        return [request.seed for request in server.seen]

    assert run(whole()) == [40, 41, 42, 43]


def test_the_generators_own_cost_is_counted():
    def submit(request):
        sum(range(20_000))
        return asyncio.sleep(0.0, Answer({}))

    found = trial(Open(100.0), 1.0, submit=submit)
    assert 0.0 < found.submit_s < found.client_s


@pytest.mark.parametrize("load", [Closed(3), Open(50.0)])
def test_whoever_stops_measuring_cancels_what_is_under_way(load):
    async def whole():
        waiting = []

        def submit(request):
            waiting.append(asyncio.get_running_loop().create_future())
            return waiting[-1]

        task = asyncio.create_task(measure(load, submit, draw, seconds=10.0))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.0)
        return waiting

    waiting = run(whole())
    assert len(waiting) >= 3
    assert all(each.cancelled() for each in waiting)


def test_an_open_loop_waits_for_the_last_answer_after_its_window():
    found = trial(Open(2.0), 10.0, service=lambda seed: 4.0, workers=100)
    assert max(each.due for each in found.samples) < 10.0
    assert max(each.end for each in found.samples) > 10.0
    assert len(found.counted) < len(found.of(Outcome.DONE)) == len(found.samples)
    assert all(each.latency_ms == pytest.approx(4000.0) for each in found.samples)


def test_samples_stand_in_the_order_of_their_ends():
    times = (3.0, 0.5, 2.0, 0.1)
    found = trial(Open(1.0), 8.0, service=lambda seed: times[seed % 4], workers=9)
    ends = [each.end for each in found.samples]
    assert ends == sorted(ends)
    assert [each.due for each in found.samples] != sorted(each.due for each in found.samples)


def test_a_load_in_which_nothing_is_answered_has_a_span():
    async def late(request):
        await asyncio.sleep(0.2)
        raise DeadlineExceeded("late")

    for load in (Closed(2), Open(5.0)):
        found = trial(load, 1.0, submit=late)
        assert found.span > 0
        assert found.counted == []


def test_an_empty_window_has_no_samples_and_a_span():
    found = trial(Open(0.001), 0.5)
    assert (found.samples, found.span) == ((), 0.5)


def real_trial(load, *, seconds=0.3, draw=None, **options):
    """A load on a runtime of the stored bundle, and what that counted."""
    with Runtime.open(STORED, threads=1, **options) as runtime:
        mix = draw or (lambda number: Request(number % 3, seed=number, steps=2))
        found = asyncio.run(measure(load, runtime.submit, mix, seconds=seconds))
        return found, runtime.stats()


@pytest.mark.parametrize("load", [Closed(1), Closed(5), Open(60.0)])
def test_a_real_runtime_counts_as_we_do(load):
    found, stats = real_trial(load)
    assert len(found.of(Outcome.DONE)) == len(found.samples) == stats["requests_done"]
    assert stats["requests_refused"] == 0
    for each in found.samples:
        assert each.due <= each.sent <= each.end
        assert each.phases["ticks"] >= each.phases["engine"] > 0
        assert sum(each.phases[name] for name in ("queue", "ticks")) <= each.latency_ms


def test_a_real_runtime_that_is_overrun_refuses_and_ends_the_rest():
    found, stats = real_trial(Open(2000.0), queue=2, slots=1)
    counts = {outcome: len(found.of(outcome)) for outcome in Outcome}
    assert counts[Outcome.REFUSED] == stats["requests_refused"] > 0
    assert counts[Outcome.DONE] == stats["requests_done"] > 0
    assert counts[Outcome.FAILED] == 0
    assert sum(counts.values()) == len(found.samples)


def test_deadlines_of_a_real_runtime_are_ends_of_their_own():
    def hurried(number):
        return Request(number % 3, steps=40, images=4, limits=Limits(deadline_s=0.002))

    found, stats = real_trial(Open(150.0), draw=hurried, slots=1)
    assert len(found.of(Outcome.EXPIRED)) == stats["requests_expired"] > 0
    assert not found.of(Outcome.FAILED)


def test_a_request_that_cannot_be_is_a_failure_with_its_reason():
    found, _ = real_trial(Closed(1), draw=lambda number: Request(7), seconds=0.1)
    assert found.samples
    assert {each.outcome for each in found.samples} == {Outcome.FAILED}
    assert found.samples[0].error.startswith("InvalidInput: ")


def test_a_closed_runtime_fails_every_request_and_nothing_hangs():
    with Runtime.open(STORED, threads=1) as runtime:
        pass
    found = asyncio.run(measure(Closed(2), runtime.submit, lambda n: Request(1), seconds=0.1))
    assert {each.outcome for each in found.samples} == {Outcome.FAILED}
    assert "closed" in found.samples[0].error


def test_loads_are_named_as_they_are_asked_for():
    assert str(Closed(1)) == "closed loop, 1 client"
    assert str(Closed(8)) == "closed loop, 8 clients"
    assert str(Open(2.5)) == "open loop, 2.5 requests/s"
    assert str(Open(2.5, "0.5x")) == "open loop, 0.5x"
