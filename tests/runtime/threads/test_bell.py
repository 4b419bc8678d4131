"""Waking without polling, from any thread, into threads and event loops."""

import asyncio
import threading
import time

import pytest

from denoisert.runtime.threads.bell import Bell


def test_a_waiting_thread_is_woken_by_the_ring_alone():
    bell, looks, state = Bell(), [], []

    def is_over():
        looks.append(1)
        return bool(state)

    waiter = threading.Thread(target=bell.wait, args=(is_over,))
    waiter.start()
    time.sleep(0.1)
    seen = len(looks)
    assert seen <= 3  # it sleeps, it does not poll
    state.append(1)
    bell.ring()
    waiter.join(10)
    assert not waiter.is_alive()
    assert len(looks) <= seen + 2


def test_a_ring_without_change_lets_nobody_go():
    bell, state = Bell(), []
    waiter = threading.Thread(target=bell.wait, args=(lambda: bool(state),))
    waiter.start()
    for _ in range(100):
        bell.ring()
    assert waiter.is_alive()
    state.append(1)
    bell.ring()
    waiter.join(10)
    assert not waiter.is_alive()


@pytest.mark.parametrize("timeout_s", [0.0, 0.02, -1.0])
def test_a_wait_ends_in_time_and_leaves_nothing_behind(timeout_s):
    bell = Bell()
    assert not bell.wait(lambda: False, timeout_s)
    assert not bell._wakers
    bell.ring()


def test_what_holds_already_needs_no_ring():
    bell = Bell()
    assert bell.wait(lambda: True, 0.0)
    assert bell.wait(lambda: True, 1e12)  # longer than a lock can wait
    asyncio.run(bell.wait_async(lambda: True))


def test_a_thousand_rings_from_four_threads_lose_nobody():
    bell, counts, waiters = Bell(), [0] * 4, []

    def count(index):
        for _ in range(1000):
            counts[index] += 1
            bell.ring()

    for goal in (1, 500, 3999, 4000):
        waiters.append(threading.Thread(target=bell.wait, args=(lambda g=goal: sum(counts) >= g,)))
    counters = [threading.Thread(target=count, args=(index,)) for index in range(4)]
    for thread in (*waiters, *counters):
        thread.start()
    for thread in (*waiters, *counters):
        thread.join(30)
        assert not thread.is_alive()
    assert not bell._wakers


def test_coroutines_of_two_event_loops_are_woken():
    bell, state, woken = Bell(), [], []

    async def wait():
        await asyncio.gather(*(bell.wait_async(lambda: bool(state)) for _ in range(3)))
        woken.append(1)

    loops = [threading.Thread(target=lambda: asyncio.run(wait())) for _ in range(2)]
    for thread in loops:
        thread.start()
    while len(bell._wakers) < 6:
        time.sleep(0.001)
    state.append(1)
    bell.ring()
    for thread in loops:
        thread.join(10)
    assert woken == [1, 1]


def test_a_cancelled_coroutine_takes_its_waker_away():
    bell = Bell()

    async def give_up():
        task = asyncio.create_task(bell.wait_async(lambda: False))
        await asyncio.sleep(0)
        assert len(bell._wakers) == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(give_up())
    assert not bell._wakers


def test_an_event_loop_that_was_closed_meanwhile_is_passed_over():
    bell, loop = Bell(), asyncio.new_event_loop()
    waiting = bell.wait_async(lambda: False)
    task = loop.create_task(waiting)
    loop.run_until_complete(asyncio.sleep(0))
    kept = list(bell._wakers)
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    bell._wakers.extend(kept)
    bell.ring()
