"""Wakes threads and coroutines that wait for news; free while nobody does.

The side that rings is a loop between two ticks, so ringing takes no lock and costs one look at an
empty deque when nobody waits. Both sides keep the order that makes this safe: the ringing side
changes the state first and rings second, the waiting side hangs up its waker first and looks at
the state second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import TIMEOUT_MAX, Lock
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

Waker = Callable[[], object]


class Bell:
    """Where wakers hang; each is called at most once."""

    __slots__ = ("_wakers",)

    def __init__(self) -> None:
        self._wakers: deque[Waker] = deque()

    def ring(self) -> None:
        """Wake everyone who waits now."""
        while self._wakers:
            with suppress(IndexError):  # another thread rings, too
                self._wakers.popleft()()

    def wait(self, is_over: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Block this thread until something holds.

        Args:
            is_over: looked at now and after every ring.
            timeout_s: longest wait in seconds, None without bound.

        Returns:
            Whether it held in time.
        """
        until = None if timeout_s is None else perf_counter() + timeout_s
        lock = Lock()
        lock.acquire()
        while not is_over():
            self._wakers.append(lock.release)
            try:
                left = TIMEOUT_MAX if until is None else until - perf_counter()
                if is_over() or left <= 0 or not lock.acquire(timeout=min(left, TIMEOUT_MAX)):
                    return is_over()
            finally:
                self._remove(lock.release)
        return True

    async def wait_async(self, is_over: Callable[[], bool]) -> None:
        """Suspend this coroutine until something holds.

        Args:
            is_over: looked at now and after every ring, in the coroutine's own event loop.
        """
        from asyncio import get_running_loop

        loop = get_running_loop()
        while not is_over():
            rung: Future[None] = loop.create_future()
            wake = partial(_wake, loop, rung)
            self._wakers.append(wake)
            try:
                if not is_over():
                    await rung
            finally:
                self._remove(wake)

    def _remove(self, waker: Waker) -> None:
        with suppress(ValueError, IndexError):  # already called, or the bell rings right now
            self._wakers.remove(waker)


def _wake(loop: AbstractEventLoop, rung: Future[None]) -> None:
    """Tell a coroutine from any thread."""
    with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_set, rung)


def _set(future: Future[None]) -> None:
    if not future.done():
        future.set_result(None)
