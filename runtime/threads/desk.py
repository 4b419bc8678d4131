"""Where requests come in and end: the bounded queue, the open requests, their counts.

Everything that decides about a request's life happens here under one lock, once per request and
never per tick: it is let in or refused, starts, ends exactly once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Condition

from denoisert.runtime.errors import Cancelled, DenoiseRTError, EngineError, Overloaded
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.stats import RequestCounts
from denoisert.runtime.threads.budget import Budget
from denoisert.runtime.threads.farewell import LOG, failure, report, without_frames
from denoisert.runtime.threads.job import Job
from denoisert.runtime.threads.loop import Loop
from denoisert.runtime.threads.worker import Worker

AGAIN = "Open the bundle again."
CLOSED = f"the runtime is closed. {AGAIN}"


class Desk:
    """The open requests of one runtime.

    Args:
        queue: requests that may wait for their first slot.
        budget: bytes that open requests may hold.
    """

    def __init__(self, queue: int, budget: Budget) -> None:
        self._queue = queue
        self._budget = budget
        self._changed = Condition()
        self._open: dict[int, Job] = {}
        self._waiting = 0
        self._counts = RequestCounts()
        self._refusal: str | None = None
        self._cause: BaseException | None = None
        self._loops: tuple[Loop, ...] = ()
        self._workers: tuple[Worker, ...] = ()

    def employ(self, loops: Sequence[Loop], workers: Sequence[Worker]) -> None:
        """Take the threads to work with.

        Args:
            loops: who computes requests; the one with the least to do gets the next.
            workers: all threads, the loops among them.
        """
        self._loops, self._workers = tuple(loops), tuple(workers)

    def enter(self, jobs: Sequence[Job]) -> int:
        """Let in as many requests as there is room for, in order.

        Args:
            jobs: what wants in.

        Returns:
            How many got in.

        Raises:
            EngineError: the runtime is closed.
            OutOfMemory: the first one does not even fit alone, beside pools made since it was
                checked; none got in.
        """
        entered = []
        with self._changed:
            self._check_open()
            for job in jobs[: max(0, self._queue - self._waiting)]:
                if not self._budget.take(job):
                    break
                job.loop = min(self._loops, key=lambda loop: loop.load)
                job.loop.load += job.rows
                self._open[job.number] = job
                entered.append(job)
            self._waiting += len(entered)
            self._counts.submitted += len(entered)
        for loop in self._loops:
            mine = [job for job in entered if job.loop is loop]
            if mine:
                loop.post(loop.take, mine)
        return len(entered)

    def check_room(self) -> None:
        """Refuse early, before a request costs anything.

        Raises:
            EngineError: the runtime is closed.
            Overloaded: the queue is full.
        """
        with self._changed:
            self._check_open()
            if self._waiting < self._queue:
                return
        raise self.refuse(f"{self._queue} requests wait, which is all that the queue holds")

    def refuse(self, what: str) -> Overloaded:
        """Count a refusal and say when to try again.

        Args:
            what: there is too much of.
        """
        with self._changed:
            self._counts.refused += 1
            pace = self._counts.pace_s()
        hint = "" if pace is None else f" in about {pace:.2g} s"
        return Overloaded(f"{what}. Try again{hint}.", retry_s=pace)

    def check_memory(self, jobs: Sequence[Job]) -> None:
        """Refuse what would never fit.

        Args:
            jobs: of one caller; each runs beside the pools of all of them.

        Raises:
            OutOfMemory: one needs more than the runtime may use.
        """
        with self._changed:
            self._budget.check(jobs)

    def reserve(self, pools: Mapping[StateLayout, int]) -> None:
        """Count pools that are made ahead of any request.

        Args:
            pools: bytes of each, on every device.

        Raises:
            OutOfMemory: together they need more than the runtime may use.
        """
        with self._changed:
            self._budget.reserve(pools)

    def submit(self, job: Job) -> None:
        """Let one request in, or refuse it.

        Raises:
            EngineError: the runtime is closed.
            OutOfMemory: it would not fit even alone.
            Overloaded: it does not fit beside what is open.
        """
        self.check_memory([job])
        while not self.enter([job]):
            self.check_room()
            with self._changed:
                has_memory = self._budget.fits(job)
            if not has_memory:
                raise self.refuse("open requests hold all the memory that the runtime may use")

    def wait_for_room(self, job: Job) -> None:
        """Block this thread until a request may get in or the runtime is closed."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._refusal is not None
                    or (self._waiting < self._queue and self._budget.fits(job))
                )
            )

    def start(self, job: Job) -> bool:
        """A request's first picture has got a slot.

        Returns:
            False if the request has ended meanwhile.
        """
        with self._changed:
            if job.number not in self._open:
                return False
            job.is_started = True
            self._waiting -= 1
            self._changed.notify_all()
        return True

    def end(self, job: Job, error: DenoiseRTError | None = None) -> bool:
        """End a request, with its latents or with an error; the first one to do so decides.

        Args:
            job: the request.
            error: why it failed.

        Returns:
            Whether this call ended it.
        """
        if job.number not in self._open:
            return False
        result = job.result(without_frames(error))
        with self._changed:
            if self._open.pop(job.number, None) is None:
                return False
            if not job.is_started:
                self._waiting -= 1
            if job.loop is not None:
                job.loop.load -= job.rows
            self._counts.end(error)
            self._budget.give(job)
            job.ending.result = result
            self._changed.notify_all()
        job.ending.bell.ring()
        job.mailbox.bell.ring()
        report(job, error)
        return True

    def cancel(self, number: int, error: DenoiseRTError | None = None) -> None:
        """End a request early: at once while it waits, at the next tick while it runs.

        Args:
            number: of the request; nothing happens if it has ended.
            error: why, `Cancelled` by default.
        """
        job = self._open.get(number)
        if job is None or job.loop is None:
            return
        reason = error or Cancelled(f"request {number} was cancelled.")
        if not job.is_started:
            self.end(job, reason)
        job.loop.post(job.loop.drop, job, reason)

    def watch(self, number: int) -> None:
        """Have the steps of a request reported from now on; nothing happens if it has ended."""
        job = self._open.get(number)
        if job is not None and job.loop is not None:
            job.mailbox.is_watched = True
            job.loop.post(job.loop.watch, job)

    def shut(self, refusal: str = CLOSED) -> None:
        """Refuse everything new, at once.

        Args:
            refusal: what the refused are told.
        """
        with self._changed:
            self._refusal = self._refusal or refusal
            self._changed.notify_all()

    def drain(self, patience_s: float | None = None) -> None:
        """Wait until no request is open; cancel what is left after a while.

        Args:
            patience_s: seconds before the rest is cancelled, None never.
        """
        with self._changed:
            is_empty = self._changed.wait_for(lambda: not self._open, patience_s)
            left = [] if is_empty else list(self._open)
        for number in left:
            self.cancel(number, Cancelled(f"request {number} ended because the runtime closes."))
        with self._changed:
            self._changed.wait_for(lambda: not self._open)

    def abandon(self, cause: BaseException | None) -> None:
        """A thread has ended: refuse everything new, end what is open, send the others home.

        Args:
            cause: what killed it, None if it was asked to end.
        """
        message = CLOSED if cause is None else f"a thread of the runtime died of {cause!r}. {AGAIN}"
        with self._changed:
            if self._cause is None:
                self._cause = cause
            self._refusal = message if cause is not None else self._refusal or message
            self._changed.notify_all()
            left = list(self._open.values())
        for job in left:
            self.end(job, failure(message, cause))
        for worker in self._workers:
            worker.stop()
        self._loops = self._workers = ()  # tickets that are kept must not keep the engines
        if cause is not None:
            LOG.error("a thread of the runtime died of %s", type(cause).__name__)

    def stats(self) -> dict[str, float]:
        """Counts of requests, by the names of `Runtime.stats`."""
        with self._changed:
            return {
                **self._counts.numbers(),
                "requests_waiting": self._waiting,
                "requests_running": len(self._open) - self._waiting,
            }

    @property
    def is_open(self) -> bool:
        """Whether new requests are taken."""
        return self._refusal is None

    def check_open(self) -> None:
        """Refuse a call on a runtime that is closed or broken.

        Raises:
            EngineError: with the cause.
        """
        with self._changed:
            self._check_open()

    def _check_open(self) -> None:
        if self._refusal is not None:
            raise EngineError(self._refusal) from self._cause
