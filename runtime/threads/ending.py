"""How a request ended: set once, waited for by anyone."""

from __future__ import annotations

from denoisert.runtime.result import Result
from denoisert.runtime.threads.bell import Bell


class Ending:
    """The place of a result that is still to come.

    Attributes:
        result: with pictures or one error; None while the request is open.
        bell: rings when the result is there.
    """

    __slots__ = ("bell", "result")

    def __init__(self) -> None:
        self.result: Result | None = None
        self.bell = Bell()

    def is_over(self) -> bool:
        """Whether the request has ended."""
        return self.result is not None

    def wait(self, timeout_s: float | None = None) -> Result | None:
        """Block this thread until the request has ended.

        Args:
            timeout_s: longest wait in seconds, None without bound.

        Returns:
            The result, None when it is not there in time.
        """
        self.bell.wait(self.is_over, timeout_s)
        return self.result

    async def wait_async(self) -> Result | None:
        """Suspend this coroutine until the request has ended; see `wait`."""
        await self.bell.wait_async(self.is_over)
        return self.result
