"""Ends a process whose compiler stands still, as the library does when one of its threads fails.

Seen with TensorRT for RTX 1.7: a worker that gets no more memory ends, and the build waits for it
for ever. Nothing inside the process can wake it; whoever started the process is told.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

STILL_S: Final = 60
"""Seconds without work after which a compiler will not go on any more."""

IDLE_S: Final = 0.01
"""Processor time within a second that is no work: that of looking."""

STATUS: Final = 70
"""Of the process that was ended."""


@contextmanager
def watched(what: str, still_s: int = STILL_S) -> Iterator[None]:
    """End this process, with a line on standard error, once nothing in it has worked for a while.

    Args:
        what: that is under way, for the line.
        still_s: seconds, counted while this process may run.

    Raises:
        MemoryError: there is not even enough to watch.
    """
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(what, still_s, over), daemon=True)
    try:
        watch.start()
    except RuntimeError as error:  # no memory for its stack
        raise MemoryError(str(error)) from error
    try:
        yield
    finally:
        over.set()
        watch.join()


def _watch(what: str, still_s: int, over: threading.Event) -> None:
    still, before = 0, time.process_time()
    while not over.wait(1.0):
        now = time.process_time()
        still = still + 1 if now - before < IDLE_S else 0
        before = now
        if still >= still_s:
            line = (
                f"{what} has stood still for {still} s. The library does so when it runs out of "
                "memory: give it more, or build fewer engines at a time.\n"
            )
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, line.encode())
            os._exit(STATUS)
