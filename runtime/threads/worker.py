"""A thread that owns something, and runs on it what others post."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from queue import SimpleQueue
from threading import Event, Thread
from types import TracebackType
from typing import ParamSpec

from denoisert.runtime.errors import DenoiseRTError
from denoisert.runtime.threads.bell import Bell

P = ParamSpec("P")

ERRANDS = 64  # remembered, so that those who wait hear of the thread's end


class Errand:
    """A call on a worker's thread that somebody waits for.

    Args:
        call: what to call; an error of ours goes to whoever waits.
        is_gone: whether the thread has ended.
    """

    def __init__(self, call: Callable[[], object], is_gone: Callable[[], bool]) -> None:
        self.bell = Bell()
        self._call = call
        self._is_gone = is_gone
        self._is_run = False
        self._error: DenoiseRTError | None = None

    def run(self) -> None:
        """Make the call, in the worker's thread."""
        try:
            self._call()
        except DenoiseRTError as error:
            self._error = error
        self._is_run = True
        self.bell.ring()

    def wait(self) -> bool:
        """Block this thread until the call has been made.

        Returns:
            False if the thread has ended without making it.

        Raises:
            DenoiseRTError: what the call raised.
        """
        self.bell.wait(lambda: self._is_run or self._is_gone())
        if self._error is not None:
            raise self._error
        return self._is_run


class Worker:
    """One daemon thread with an inbox of calls.

    `post` and `stop` take no lock that Python code could hold, so that even a finaliser may call
    them from wherever garbage is collected.

    Args:
        name: of the thread.
        when_over: called in the thread when it ends, with what killed it or None.
    """

    def __init__(self, name: str, when_over: Callable[[BaseException | None], None]) -> None:
        self.name = name
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._errands: deque[Errand] = deque(maxlen=ERRANDS)
        self._gone = Event()
        self._is_over = False
        self._when_over = when_over
        self._thread = Thread(target=self._live, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread, once."""
        self._thread.start()

    def post(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have the thread call something; an error there is the end of the thread.

        Args:
            call: what to call.
            args: its arguments.
            kwargs: likewise.
        """
        self._calls.put(lambda: call(*args, **kwargs))

    def send(self, call: Callable[[], object]) -> Errand:
        """Have the thread call something that somebody will wait for.

        Args:
            call: what to call; only what is not an error of ours ends the thread.
        """
        errand = Errand(call, self._gone.is_set)
        self._errands.append(errand)
        self.post(errand.run)
        return errand

    def stop(self) -> None:
        """End the thread after what has been posted before."""
        self.post(self._stop)

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the thread to end.

        Args:
            timeout_s: longest wait in seconds, None without bound.
        """
        self._thread.join(timeout_s)

    def work(self) -> None:
        """Run calls until `stop`; subclasses add what they do between calls."""
        while not self._is_over:
            self._calls.get()()

    def stats(self) -> dict[str, float]:
        """Its counts, by the names of `Runtime.stats`."""
        return {}

    def release(self) -> None:
        """Give back what the thread owns; called in it, last of all."""

    def _stop(self) -> None:
        self._is_over = True

    def _call_off(self) -> None:
        """Those who wait for an errand wait in vain."""
        self._gone.set()
        for errand in tuple(self._errands):
            errand.bell.ring()

    def _live(self) -> None:
        with ExitStack() as stack:
            stack.push(self._leave)
            self.work()

    def _leave(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """However the thread ends, the requests that it served end, too."""
        with ExitStack() as stack:
            stack.callback(self._call_off)
            stack.callback(self.release)
            self._when_over(error)
        return True  # reported to those who wait; a second report on stderr helps nobody
