"""The life of a runtime's threads: warmed, relieved of memory, counted, closed."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from denoisert.runtime.errors import EngineError
from denoisert.runtime.intake import Intake
from denoisert.runtime.phase import RELEASABLE, Phase, check_releasable, phases_of
from denoisert.runtime.threads.crew import Crew
from denoisert.runtime.threads.desk import Desk


class Service:
    """Threads that serve requests, in the process that hired them.

    Args:
        intake: plans requests.
        desk: where they come in and end.
        crew: the threads; whoever owns the service starts them.
    """

    def __init__(self, intake: Intake, desk: Desk, crew: Crew) -> None:
        self._intake = intake
        self._desk = desk
        self._crew = crew
        self._is_warm = False
        self._process = os.getpid()

    def warm(self, *phases: Phase) -> None:
        """Load engines and run each once at every bucket and size, ahead of any request.

        Open requests go on; a tick waits for at most one call of every bucket and size.

        Args:
            phases: whose engines; all of them where none is named.

        Raises:
            InvalidInput: something else than a phase.
            OutOfMemory: the pools of all sizes need more than the runtime may use.
            BundleError: a file differs from the manifest.
            EngineError: an engine cannot be loaded or failed, or the runtime is closed.
        """
        wanted = phases_of(phases)
        self._check_open()
        if self._intake.planner.card.further and Phase.DENOISER in wanted:
            self._desk.reserve(self._intake.planner.smallest_pools)
        self._crew.warm(self._intake.nulls(), wanted)
        self._is_warm |= set(wanted) == set(Phase)

    def release(self, *phases: Phase) -> None:
        """Give back the memory of engines; whoever needs one next waits until it is loaded again.

        Requests that are open go on. What has been encoded stays in the cache of prompts.

        Args:
            phases: Phase.TEXT, Phase.CODEC, or both; both where none is named.

        Raises:
            InvalidInput: something else, or the denoiser, to which pools are bound.
            EngineError: the runtime is closed.
        """
        check_releasable(phases)
        self._check_open()
        self._crew.let_go(phases or RELEASABLE)

    @property
    def is_ready(self) -> bool:
        """Whether all of it was warmed and it takes requests."""
        return self._is_warm and os.getpid() == self._process and self._desk.is_open

    def stats(self) -> dict[str, float]:
        """What the runtime has done so far, as plain numbers; times in milliseconds."""
        self._check_process()
        prompts = self._intake.prompts
        texts = {"text_hits": prompts.hits, "text_misses": prompts.misses}
        return {**self._desk.stats(), **texts, **self._crew.stats()}

    def close(self, *, drain_s: float | None = None) -> None:
        """Refuse new requests, end the open ones, then release the engines.

        May be called from several threads and more than once; every call returns when everything
        has ended. In a forked child it does nothing.

        Args:
            drain_s: seconds that open requests may go on before they end with `Cancelled`; 0
                cancels them at once, None lets all of them finish.
        """
        if os.getpid() != self._process:
            return  # the threads live in the parent only: freeing their engines here would crash
        self._desk.shut()
        self._desk.drain(drain_s)
        self._crew.dismiss()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(drain_s=None if kind is None else 0)

    def _check_open(self) -> None:
        self._check_process()
        self._desk.check_open()

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise EngineError(
                "the runtime was opened in another process and does not survive a fork. Open the "
                "bundle here."
            )
