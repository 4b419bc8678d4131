"""The runtime that services embed: open a bundle, plan, generate, close."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from types import TracebackType
from typing import overload

from denoisert.runtime.batch import NS_PER_MS, Batch, Progress
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.conditioning import check_sources
from denoisert.runtime.devices.numpy import NumpyDevice
from denoisert.runtime.engines.choice import choose, load
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.errors import EngineError, InvalidInput
from denoisert.runtime.loop.pool import Pool
from denoisert.runtime.measure.trace import Trace
from denoisert.runtime.plan import Plan
from denoisert.runtime.planner import Planner
from denoisert.runtime.request import Request
from denoisert.runtime.result import Result
from denoisert.runtime.sampler import TableCache

SLOTS = 8


class Runtime:
    """One model on one device, in the calling thread.

    Use `Runtime.open`. Calls from several threads are served one after the other.
    """

    def __init__(self, bundle: Bundle, denoiser: Denoiser, reason: str, *, slots: int) -> None:
        self._bundle = bundle
        self._denoiser = denoiser
        self._reason = reason
        self._pool = Pool(denoiser.layout, [denoiser], NumpyDevice(), slots=slots)
        self._planner = Planner(denoiser, TableCache(bundle.card), reason, slots)
        self._lock = threading.RLock()
        self._is_running = False
        self._process = os.getpid()
        self._is_closed = False

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        expect: str | None = None,
        threads: int | None = None,
        slots: int = SLOTS,
    ) -> Runtime:
        """Verify a bundle, pick the engine for this machine and load it.

        Args:
            path: the bundle's folder.
            expect: the bundle id that is wanted, or None for any.
            threads: intra-op threads of the engine; by default the cores this process may use.
            slots: pictures that run at the same time.

        Returns:
            A runtime that is ready for requests.

        Raises:
            BundleError: the bundle is missing, damaged, foreign, or has nothing that runs here.
            BuildError: the engine cannot be loaded.
        """
        if slots < 1 or (threads is not None and threads < 1):
            raise InvalidInput(f"slots {slots} and threads {threads} must be at least 1.")
        bundle = Bundle.open(Path(path), expect=expect)
        card = bundle.card
        check_sources(card.conditions)
        choice = choose(bundle)
        engine = load(bundle, choice, threads or len(os.sched_getaffinity(0)))
        denoiser = Denoiser(engine, card.network, card.conditions, card.layout)
        return cls(bundle, denoiser, choice.reason, slots=slots)

    @property
    def card(self) -> Card:
        """What the bundle says about its model."""
        return self._bundle.card

    @property
    def bundle_id(self) -> str:
        """SHA-256 of the bundle's manifest."""
        return self._bundle.id

    def __repr__(self) -> str:
        return f"Runtime.open({str(self._bundle.root)!r})  # {self._reason}"

    def plan(self, request: Request) -> Plan:
        """Validate a request and say what it will run and cost.

        Args:
            request: what is asked.

        Returns:
            The plan; nothing runs.

        Raises:
            InvalidInput: the request cannot be honoured.
            OutOfProfile: a size that is not compiled.
            OutOfMemory: it needs more than its limit.
        """
        _listed([request])
        self._check_open()
        return self._planner.plan(request).plan

    @overload
    def generate(
        self, requests: Request, *, progress: Progress | None = None, trace: Trace | None = None
    ) -> Result: ...

    @overload
    def generate(
        self,
        requests: Sequence[Request],
        *,
        progress: Progress | None = None,
        trace: Trace | None = None,
    ) -> list[Result]: ...

    def generate(
        self,
        requests: Request | Sequence[Request],
        *,
        progress: Progress | None = None,
        trace: Trace | None = None,
    ) -> Result | list[Result]:
        """Run one request or several; slots are filled as they free up.

        Every request is validated before any work starts. A request that fails while it runs does
        not disturb the others: a single one raises its error, in a sequence its result carries it.

        Args:
            requests: one request or a sequence.
            progress: called after every tick with (rows done, rows in all).
            trace: collects the spans of the run.

        Returns:
            As many results as requests.

        Raises:
            DenoiseRTError: an impossible request, or the single request's own error.
        """
        asked = _listed(requests)
        with self._turn():
            results = self._run(asked, progress, trace)
        if not isinstance(requests, Request):
            return results
        if results[0].error is not None:
            raise results[0].error
        return results[0]

    def _run(
        self, asked: Sequence[Request], progress: Progress | None, trace: Trace | None
    ) -> list[Result]:
        self._check_open()
        start = perf_counter_ns()
        planned = [(request, self._planner.plan(request)) for request in asked]
        end = perf_counter_ns()
        if trace is not None:
            trace.add("plan", start, end, "requests")
        results = Batch(self._pool, self.card, progress, trace).run(planned)
        for result in results:
            result.phases["plan"] = (end - start) / NS_PER_MS
        return results

    def close(self) -> None:
        """Release the engine; closing twice, or in a forked child, is harmless."""
        if os.getpid() != self._process:
            return  # the engine's threads live in the parent only: freeing it here would crash
        with self._turn():
            if not self._is_closed:
                self._is_closed = True
                self._pool.close()
                self._denoiser.engine.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One caller at a time, and none from inside another's progress callback."""
        self._check_process()  # first: in a forked child the lock may be held for ever
        with self._lock:
            if self._is_running:
                raise EngineError(
                    "a progress callback called generate or close of its own runtime. Let the "
                    "callback return or raise first."
                )
            self._is_running = True
            try:
                yield
            finally:
                self._is_running = False

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        self._check_process()
        if self._is_closed:
            raise EngineError("the runtime is closed. Open the bundle again.")

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise EngineError(
                "the runtime was opened in another process and does not survive a fork. Open the "
                "bundle here."
            )


def _listed(requests: object) -> list[Request]:
    """One request or a sequence as a list; anything else is refused."""
    listed: list[Request] = []
    for request in requests if isinstance(requests, Iterable) else [requests]:
        if not isinstance(request, Request):
            raise InvalidInput(
                f"{request!r} is no request. Pass Request(condition, ...) or a sequence of them."
            )
        listed.append(request)
    return listed
