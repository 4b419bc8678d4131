"""What is said and kept of requests that have ended."""

from __future__ import annotations

import logging
from time import perf_counter_ns

from denoisert.runtime.errors import Cancelled, DenoiseRTError, EngineError
from denoisert.runtime.threads.job import NS_PER_MS, Job

LOG = logging.getLogger("denoisert")


def report(job: Job, error: DenoiseRTError | None) -> None:
    """Log one line per request; never what was asked, which is nobody else's.

    Args:
        job: the request.
        error: why it failed.
    """
    if LOG.isEnabledFor(logging.INFO):
        outcome = "done" if error is None else type(error).__name__
        elapsed = (perf_counter_ns() - job.submitted_ns) / NS_PER_MS
        images = job.request.images
        LOG.info("request %d %s: %d image(s), %.1f ms", job.number, outcome, images, elapsed)


def without_frames(error: DenoiseRTError | None) -> DenoiseRTError | None:
    """The same error without its way through the loop.

    Frames of the loop hold the pool and the engine: a ticket that is kept must not keep those.

    Args:
        error: why a request failed.
    """
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def failure(message: str, cause: BaseException | None) -> DenoiseRTError:
    """The error of a request whose runtime went away, one for each.

    Args:
        message: what happened.
        cause: what killed a thread, None if all of them were asked to end.
    """
    if cause is None:
        return Cancelled(f"the request ended because {message}")
    error = EngineError(message)
    error.__cause__ = cause
    return error
