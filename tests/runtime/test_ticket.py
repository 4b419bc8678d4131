"""A ticket: result, events, cancellation, from threads and from event loops."""

import asyncio
import pickle
import threading

import numpy as np
import pytest

from denoisert.runtime import CFG, Heun, Request, Runtime
from denoisert.runtime.errors import Cancelled, InvalidInput, NonFinite, Overloaded
from denoisert.runtime.events import Admitted, Ended, Preview, Stepped
from tests.runtime.bundles import compiled
from tests.runtime.networks import perceptron
from tests.runtime.threads.gates import gated

PLAIN = Request(3, seed=7, images=2, guidance=CFG(3.0))
LONG = Request(1, steps=1000)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Class 7 becomes NaN at the third of five steps."""
    return compiled(perceptron(breaks=(7, 0.6)), tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def runtime(toy):
    with Runtime.open(toy, threads=1) as opened:
        yield opened


def test_a_ticket_gives_the_bits_of_generate(runtime):
    wanted = runtime.generate(PLAIN)
    ticket = runtime.submit(PLAIN)
    assert np.array_equal(ticket.result().flat, wanted.flat)
    assert ticket.result() is ticket.result(0)
    assert ticket.is_done
    assert repr(ticket) == f"Ticket({ticket.id}, done)"


def test_a_failed_request_raises_its_error_every_time(runtime):
    ticket = runtime.submit(Request(7))
    errors = []
    for _ in range(2):
        with pytest.raises(NonFinite) as caught:
            ticket.result(60)
        errors.append(caught.value)
    assert errors[0] is errors[1]
    assert repr(ticket) == f"Ticket({ticket.id}, NonFinite)"


def test_impatience_is_not_the_end(toy):
    with gated(toy) as (runtime, gate, _):
        ticket = runtime.submit(PLAIN)
        for timeout_s in (0, 0.01):
            with pytest.raises(TimeoutError, match="goes on"):
                ticket.result(timeout_s)
        assert repr(ticket) == f"Ticket({ticket.id}, open)"
        gate.free()
        assert len(ticket.result(60).flat) == 2


def test_events_come_in_order_and_end_once(toy):
    with gated(toy) as (runtime, gate, _):
        ticket = runtime.submit(Request(1, steps=3), previews=2)
        events = ticket.events()
        assert next(events) == Admitted()
        gate.let()
        assert next(events) == Stepped(0, 1, 3)
        gate.let()
        kinds = [next(events), next(events)]
        assert kinds[0] == Stepped(0, 2, 3)
        assert isinstance(kinds[1], Preview)
        assert (kinds[1].image, kinds[1].step) == (0, 2)
        gate.let()
        assert list(events) == [Stepped(0, 3, 3), Ended(None)]
        assert list(ticket.events())[-1] == Ended(None)


def test_a_step_of_two_stages_is_told_once(toy):
    with gated(toy) as (runtime, gate, _):
        ticket = runtime.submit(Request(1, steps=4, solver=Heun()))
        steps = []
        for event in ticket.events():
            gate.let()
            steps += [event.step] if isinstance(event, Stepped) else []
            if len(steps) == 1:
                gate.free()
    assert steps[0] == 1
    assert steps == sorted(set(steps))
    assert steps[-1] == 4


def test_previews_come_as_often_as_asked_and_change_no_bits(runtime):
    wanted = runtime.generate(PLAIN).flat
    before = runtime.stats()["previews_sent"]
    ticket = runtime.submit(PLAIN, previews=2)
    seen = [event for event in ticket.events() if isinstance(event, Preview)]
    assert np.array_equal(ticket.result().flat, wanted)
    assert runtime.stats()["previews_sent"] - before == 2 * 2  # steps 2 and 4 of 5, two pictures
    assert {event.image for event in seen} == {0, 1}
    assert all(event.latent.shape == (60,) for event in seen)
    with pytest.raises(InvalidInput, match="not pictures"):
        _ = seen[0].picture
    with pytest.raises(InvalidInput, match="previews"):
        runtime.submit(PLAIN, previews=-1)


def test_the_last_preview_is_nearly_the_picture(runtime):
    """With Euler on a flow path the clean estimate of the last step is the result."""
    ticket = runtime.submit(Request(1, seed=5, steps=6), previews=6)
    (preview,) = [event for event in ticket.events() if isinstance(event, Preview)]
    result = ticket.result().flat[0]
    assert np.abs(preview.latent - result).max() < 1e-5 * np.abs(result).max()


def test_a_slow_reader_loses_steps_and_never_the_end(toy):
    with gated(toy) as (runtime, gate, spy):
        ticket = runtime.submit(Request(1, steps=40), previews=1)
        events = ticket.events()
        assert next(events) == Admitted()
        gate.free()
        ticket.result(60)
        rest = list(events)
        assert len(spy.runs) == 40
        assert [type(event) for event in rest] in (
            [Stepped, Preview, Ended],
            [Preview, Stepped, Ended],
        )
        assert {event.step for event in rest[:2]} == {40}


def test_readers_in_several_threads_all_see_the_end(runtime):
    ticket = runtime.submit(Request(1, images=3, steps=30))
    last = []
    readers = [
        threading.Thread(target=lambda: last.append(list(ticket.events())[-1])) for _ in range(5)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
    assert last == [Ended(None)] * 5


def test_awaiting_and_iterating_in_an_event_loop(runtime):
    async def serve():
        tickets = [runtime.submit(PLAIN) for _ in range(5)]
        kinds = [type(event) async for event in tickets[0]]
        return kinds, await asyncio.gather(*tickets)

    kinds, results = asyncio.run(serve())
    assert kinds[-1] is Ended
    assert kinds.count(Ended) == 1
    for result in results:
        assert np.array_equal(result.flat, results[0].flat)


def test_an_event_loop_sleeps_while_it_awaits(toy):
    """No polling: it looks for news a few times, not once per tick or millisecond."""
    looks = []

    async def serve():
        loop = asyncio.get_running_loop()
        select = loop._selector.select
        loop._selector.select = lambda timeout=None: (looks.append(timeout), select(timeout))[1]
        gate.free()
        return await ticket

    with gated(toy) as (runtime, gate, spy):
        ticket = runtime.submit(LONG)
        assert asyncio.run(serve()).nfe == 1000
        assert len(spy.runs) == 1000
    assert len(looks) < 10


def test_an_awaiting_task_that_is_cancelled_cancels_the_request(toy):
    async def give_up():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ticket, 0.01)

    with gated(toy) as (runtime, gate, spy):
        ticket = runtime.submit(LONG)
        gate.reached(1)
        asyncio.run(give_up())
        gate.free()
        with pytest.raises(Cancelled):
            ticket.result(60)
        assert len(spy.runs) == 1


def test_a_shield_keeps_the_request(toy):
    async def give_up():
        waiting = asyncio.ensure_future(ticket)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.01)
        gate.free()
        return await waiting

    with gated(toy) as (runtime, gate, _):
        ticket = runtime.submit(LONG)
        assert asyncio.run(give_up()).nfe == 1000


def test_giving_up_on_events_does_not_end_the_request(toy):
    async def look():
        async for event in ticket:
            return event

    with gated(toy) as (runtime, gate, _):
        ticket = runtime.submit(PLAIN)
        assert asyncio.run(look()) == Admitted()
        assert next(ticket.events()) == Admitted()
        gate.free()
        assert len(ticket.result(60).flat) == 2


def test_nobody_who_waits_is_forgotten_when_the_runtime_closes(toy):
    ends = []

    async def follow(ticket):
        ends.append([event async for event in ticket][-1])

    with gated(toy, slots=1) as (runtime, gate, _):
        tickets = [runtime.submit(LONG) for _ in range(3)]
        gate.reached(1)
        threads = [threading.Thread(target=lambda t=t: asyncio.run(follow(t))) for t in tickets]
        threads += [threading.Thread(target=lambda: ends.append([*tickets[0].events()][-1]))]
        for thread in threads:
            thread.start()
        closer = threading.Thread(target=runtime.close, kwargs={"drain_s": 0})
        closer.start()
        gate.free()
        for thread in (*threads, closer):
            thread.join(60)
    assert len(ends) == 4
    assert all(isinstance(end.error, Cancelled) for end in ends)


def test_an_overload_survives_a_process_border():
    error = pickle.loads(pickle.dumps(Overloaded("full", retry_s=0.5)))
    assert (str(error), error.retry_s) == ("full", 0.5)
