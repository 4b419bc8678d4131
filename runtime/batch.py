"""Several requests that one caller waits for: let in as there is room, followed, collected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.request import Request
from denoisert.runtime.result import Result
from denoisert.runtime.threads.bell import Bell
from denoisert.runtime.threads.desk import Desk
from denoisert.runtime.threads.job import Job

Progress = Callable[[int, int], None]


class Batch:
    """Requests whose caller blocks until all of them have ended.

    Args:
        desk: where they go.
        jobs: the requests; their mailboxes ring `bell`.
        bell: rings whenever one of them has news.
    """

    def __init__(self, desk: Desk, jobs: Sequence[Job], bell: Bell) -> None:
        self._desk = desk
        self._jobs = list(jobs)
        self._bell = bell

    def run(self, progress: Progress | None) -> list[Result]:
        """Run every request; whatever is raised here, none of them is left running.

        Args:
            progress: called in this thread after ticks with (rows done, rows in all).

        Returns:
            One result per request, in order.

        Raises:
            EngineError: the runtime was closed before all of them were let in.
            OutOfMemory: one of them can never fit.
        """
        entered = seen = 0
        self._desk.check_memory(self._jobs)
        try:
            while entered < len(self._jobs):
                entered += self._desk.enter(self._jobs[entered:])
                if entered < len(self._jobs):
                    seen = self._tell(progress, seen)
                    self._desk.wait_for_room(self._jobs[entered])
            if progress is not None:
                self._follow(progress, seen)
            return [self._wait(job) for job in self._jobs]
        finally:
            self._give_up(entered)

    def _follow(self, progress: Progress, seen: int) -> None:
        while True:
            is_last = self._are_over()  # looked at before the rows: none comes after the last look
            seen = self._tell(progress, seen)
            if is_last:
                return
            self._bell.wait(partial(self._has_news, seen))

    def _tell(self, progress: Progress | None, seen: int) -> int:
        done = self._rows()
        if progress is not None and done > seen:
            progress(done, sum(job.rows for job in self._jobs))
        return done

    def _has_news(self, seen: int) -> bool:
        return self._rows() > seen or self._are_over()

    def _rows(self) -> int:
        return sum(job.mailbox.rows for job in self._jobs)

    def _are_over(self) -> bool:
        return all(job.ending.is_over() for job in self._jobs)

    def _wait(self, job: Job) -> Result:
        result = job.ending.wait()
        while result is None:  # never without a bound on the wait
            result = job.ending.wait()
        return result

    def _give_up(self, entered: int) -> None:
        """End what still runs because the caller was interrupted."""
        left = [job for job in self._jobs[:entered] if not job.ending.is_over()]
        for job in left:
            self._desk.cancel(job.number)
        for job in left:
            job.ending.wait()


def listed(requests: object) -> list[Request]:
    """One request or a sequence as a list.

    Raises:
        InvalidInput: something in it is no request.
    """
    found: list[Request] = []
    for request in requests if isinstance(requests, Iterable) else [requests]:
        if not isinstance(request, Request):
            raise InvalidInput(
                f"a {type(request).__name__} is no request. Pass Request(condition, ...) or a "
                "sequence of them."
            )
        found.append(request)
    return found
