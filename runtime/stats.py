"""What a runtime counts: plain numbers that a metrics exporter can take as they are."""

from __future__ import annotations

from collections import deque
from time import perf_counter

from denoisert.runtime.errors import Cancelled, DeadlineExceeded, DenoiseRTError

SPAN = 32


class RequestCounts:
    """How many requests came and what became of them; guarded by its owner's lock.

    Attributes:
        submitted: let in.
        done: ended with pictures.
        failed: ended with an error of their own or of the engine.
        cancelled: ended by their owner or by closing the runtime.
        expired: ended by their deadline.
        refused: not let in, because the queue was full.
    """

    def __init__(self) -> None:
        self.submitted = self.done = self.failed = 0
        self.cancelled = self.expired = self.refused = 0
        self._ends: deque[float] = deque(maxlen=SPAN)

    def end(self, error: DenoiseRTError | None) -> None:
        """Count the end of a request.

        Args:
            error: why it failed, None if it did not.
        """
        self._ends.append(perf_counter())
        if error is None:
            self.done += 1
        elif isinstance(error, DeadlineExceeded):
            self.expired += 1
        elif isinstance(error, Cancelled):
            self.cancelled += 1
        else:
            self.failed += 1

    def pace_s(self) -> float | None:
        """Seconds between the ends of the last requests, None before two have ended."""
        if len(self._ends) < 2:
            return None
        return (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)

    def numbers(self) -> dict[str, float]:
        """Everything, by the names of `Runtime.stats`."""
        return {
            "requests_submitted": self.submitted,
            "requests_done": self.done,
            "requests_failed": self.failed,
            "requests_cancelled": self.cancelled,
            "requests_expired": self.expired,
            "requests_refused": self.refused,
        }


class TickCounts:
    """What the ticks of one loop added up to; written by its thread alone.

    Attributes:
        ticks: rounds of the pool.
        lanes: lanes that were read.
        lanes_padded: lanes that only filled their buckets.
        engine_ns: time in the engine.
        tick_ns: time in ticks, the engine's included.
        previews_sent: clean estimates put into mailboxes.
    """

    def __init__(self) -> None:
        self.ticks = self.lanes = self.lanes_padded = 0
        self.engine_ns = self.tick_ns = 0
        self.previews_sent = 0

    def numbers(self) -> dict[str, float]:
        """Everything, by the names of `Runtime.stats`, times in milliseconds."""
        return {
            "ticks": self.ticks,
            "lanes": self.lanes,
            "lanes_padded": self.lanes_padded,
            "engine_ms": self.engine_ns / 1e6,
            "tick_ms": self.tick_ns / 1e6,
            "previews_sent": self.previews_sent,
        }
