"""The place of a result that is still to come."""

import asyncio
import threading

from denoisert.runtime.threads.ending import Ending


def test_it_is_over_when_the_result_is_there():
    ending = Ending()
    assert not ending.is_over()
    assert ending.wait(0.01) is None
    ending.result = "result"
    assert ending.is_over()
    assert ending.wait() == ending.wait(0.0) == "result"
    assert asyncio.run(ending.wait_async()) == "result"


def test_all_who_wait_get_the_same():
    ending, found = Ending(), []
    waiters = [threading.Thread(target=lambda: found.append(ending.wait())) for _ in range(5)]
    waiters += [
        threading.Thread(target=lambda: found.append(asyncio.run(ending.wait_async())))
        for _ in range(3)
    ]
    for waiter in waiters:
        waiter.start()
    ending.result = object()
    ending.bell.ring()
    for waiter in waiters:
        waiter.join(10)
    assert found == [ending.result] * 8
