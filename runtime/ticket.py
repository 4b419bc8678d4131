"""What `submit` hands out: the way to a request's result, to its events and to its early end."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from denoisert.runtime.errors import EngineError
from denoisert.runtime.events import Ended, Event
from denoisert.runtime.result import Result
from denoisert.runtime.threads.ending import Ending
from denoisert.runtime.threads.mailbox import Mailbox

if TYPE_CHECKING:
    from denoisert.runtime.threads.desk import Desk


class Ticket:
    """One request on its way; every ticket ends exactly once, with a result or one error.

    A ticket may be used from any thread and any number of them. `await ticket` gives the result,
    `async for event in ticket` its events. When a task is cancelled while it awaits the ticket, the
    request is cancelled with it, as with a future; `asyncio.shield(ticket)` prevents that. Reading
    events is watching only: it can be given up without any effect on the request.

    Attributes:
        id: number of the request in its runtime, from 1.
    """

    def __init__(self, number: int, ending: Ending, mailbox: Mailbox, desk: Desk) -> None:
        self.id = number
        self._ending = ending
        self._mailbox = mailbox
        self._desk = desk
        self._process = os.getpid()

    def __repr__(self) -> str:
        result = self._ending.result
        if result is None:
            return f"Ticket({self.id}, open)"
        error = result.error
        return f"Ticket({self.id}, {'done' if error is None else type(error).__name__})"

    @property
    def is_done(self) -> bool:
        """Whether the request has ended, well or not."""
        return self._ending.is_over()

    def result(self, timeout_s: float | None = None) -> Result:
        """Wait for the request to end.

        Args:
            timeout_s: longest wait in seconds, None without bound. The request goes on afterwards.

        Returns:
            The result.

        Raises:
            DenoiseRTError: the request's own error.
            TimeoutError: it has not ended in time.
        """
        self._check_process()
        return self._unwrap(self._ending.wait(timeout_s))

    def cancel(self) -> None:
        """End the request with `Cancelled`: at once while it waits, else at the next tick.

        Without effect on a request that has ended.
        """
        self._check_process()
        self._desk.cancel(self.id)

    def events(self) -> Iterator[Event]:
        """Iterate over what happens from now on, and the newest of what happened before.

        Yields:
            `Admitted`, `Stepped` and `Preview` in their order, `Ended` last.
        """
        self._start_watching()
        box, serial = self._mailbox, 0
        while True:
            box.bell.wait(partial(self._has_news, serial))
            entry = box.after(serial)
            if entry is None:
                break
            serial, event = entry
            yield event
        yield self._last()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """See `events`."""
        self._start_watching()
        box, serial = self._mailbox, 0
        while True:
            await box.bell.wait_async(partial(self._has_news, serial))
            entry = box.after(serial)
            if entry is None:
                break
            serial, event = entry
            yield event
        yield self._last()

    def __await__(self) -> Generator[Any, None, Result]:
        return self._awaited().__await__()

    async def _awaited(self) -> Result:
        from asyncio import CancelledError

        self._check_process()
        try:
            result = await self._ending.wait_async()
        except CancelledError:
            self.cancel()
            raise
        return self._unwrap(result)

    def _has_news(self, serial: int) -> bool:
        return self.is_done or self._mailbox.after(serial) is not None

    def _start_watching(self) -> None:
        self._check_process()
        self._desk.watch(self.id)

    def _last(self) -> Ended:
        result = self._ending.result
        return Ended(None if result is None else result.error)

    def _unwrap(self, result: Result | None) -> Result:
        if result is None:
            raise TimeoutError(
                f"request {self.id} has not ended in time. It goes on; ask again or cancel it."
            )
        if result.error is not None:
            raise result.error
        return result

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise EngineError(
                "the ticket belongs to another process and does not survive a fork. Ask there."
            )
