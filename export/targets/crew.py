"""Compilers of engines at work: several at a time, as far as memory goes; stopped together."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from threading import Condition, Lock
from types import MappingProxyType
from typing import Final

from denoisert.export.targets.job import EngineJob
from denoisert.export.targets.process import Built, EngineProcess
from denoisert.export.targets.store import EngineStore
from denoisert.runtime.errors import BuildError

Step = Callable[[str, int, int], None]
MOST: Final = 8

COMPILERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "openvino": "denoisert.export.targets.openvino",
        "tensorrt-rtx": "denoisert.export.targets.tensorrt.compiler",
        "tensorrt": "denoisert.export.targets.tensorrt.compiler",
    }
)
"""Target -> the module whose `build(job, report)` compiles for it."""


class CompilerCrew:
    """Builds engines in processes of their own.

    Args:
        memory_bytes: what they may take together; a larger engine is built alone.
        store: where engines are kept; None for nowhere.
        step: called with the news of every compiler, one at a time: engine, steps done, steps in
            all.
        limit_bytes: what one process may allocate; None for no bound.
        compilers: target -> name of the module that compiles for it.
    """

    def __init__(
        self,
        memory_bytes: int,
        store: EngineStore | None,
        step: Step,
        limit_bytes: int | None = None,
        *,
        compilers: Mapping[str, str] = COMPILERS,
    ) -> None:
        self._compilers = compilers
        self._limit_bytes = limit_bytes
        self._memory_bytes = self._free = memory_bytes
        self._store = store
        self._step = step
        self._room = Condition(Lock())
        self._telling = Lock()
        self._running: set[EngineProcess] = set()
        self._is_stopped = False
        self._pool = ThreadPoolExecutor(min(MOST, len(os.sched_getaffinity(0))))
        self._jobs: list[Future[Built]] = []

    def submit(self, job: EngineJob, digest: str, need_bytes: int) -> Future[Built]:
        """Queue an engine; one that is kept is copied at once.

        Args:
            job: what to build.
            digest: of all that it depends on.
            need_bytes: what its compiler is expected to take.

        Raises:
            DenoiseRTError: an engine that was asked for before could not be built.
        """
        self._raise_failure()
        future: Future[Built] = self._pool.submit(self._build, job, digest, need_bytes)
        self._jobs.append(future)
        return future

    def finish(self) -> None:
        """Wait for all engines; the first failure stops the others.

        Raises:
            DenoiseRTError: an engine could not be built.
        """
        try:
            wait(self._jobs, return_when=FIRST_EXCEPTION)
            self._raise_failure()
        finally:
            self.stop()

    def stop(self) -> None:
        """End every compiler that runs; harmless when none does."""
        with self._room:
            self._is_stopped = True
            running = tuple(self._running)
            self._room.notify_all()
        for process in running:
            process.interrupt()
        for process in running:
            process.stop()
        self._pool.shutdown(cancel_futures=True)

    def _raise_failure(self) -> None:
        for future in self._jobs:
            if future.done():
                future.result()

    def _build(self, job: EngineJob, digest: str, need_bytes: int) -> Built:
        kept = None if self._store is None else self._store.take(digest, job)
        if kept is not None:
            return Built(kept.seconds, kept.peak_bytes, is_kept=True)
        need = min(need_bytes, self._memory_bytes)
        process = EngineProcess(job, self._compilers[job.target], self._limit_bytes)
        with self._room:
            self._room.wait_for(lambda: self._is_stopped or self._free >= need)
            if self._is_stopped:
                raise BuildError(f"{job.component} for {job.target} was stopped.")
            self._free -= need
            self._running.add(process)
        try:
            built = process.run(self._news(job))
        finally:
            with self._room:
                self._free += need
                self._running.discard(process)
                self._room.notify_all()
        if self._store is not None:
            self._store.keep(digest, job, built.seconds, built.peak_bytes)
        return built

    def _news(self, job: EngineJob) -> Step:
        name = f"{job.component} for {job.out.parent.name}"  # several dtypes of one target

        def tell(step: str, done: int, count: int) -> None:
            with self._telling:
                self._step(f"{name}: {step}", done, count)

        return tell
