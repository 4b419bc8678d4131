"""The runtime that services embed: open a bundle, plan, submit or generate, close."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import overload

from denoisert.runtime.batch import Batch, Progress, listed
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.components import Components, load_components, load_tokenizers
from denoisert.runtime.conditioning import check_sources
from denoisert.runtime.engines.choice import Choice, choose
from denoisert.runtime.engines.target import CPU, Target
from denoisert.runtime.errors import EngineError
from denoisert.runtime.intake import Intake
from denoisert.runtime.measure.profile import Profile, ProfileKey
from denoisert.runtime.measure.trace import Trace
from denoisert.runtime.options import QUEUE, SLOTS, Options
from denoisert.runtime.plan import Plan
from denoisert.runtime.planners import Planners
from denoisert.runtime.request import Request
from denoisert.runtime.result import Result
from denoisert.runtime.sampler import TableCache
from denoisert.runtime.text.cache import PromptCache
from denoisert.runtime.threads.bell import Bell
from denoisert.runtime.threads.budget import Budget
from denoisert.runtime.threads.crew import Crew
from denoisert.runtime.threads.desk import Desk
from denoisert.runtime.threads.mailbox import Mailbox
from denoisert.runtime.ticket import Ticket


class Runtime:
    """One model on one or several devices.

    Use `Runtime.open`. Every method may be called from any thread; the work is done by threads of
    the runtime's own.
    """

    def __init__(
        self,
        bundle: Bundle,
        choice: Choice,
        devices: Sequence[Components],
        options: Options,
        *,
        prompts: PromptCache | None = None,
        profile: Profile | None = None,
        trace: Trace | None = None,
    ) -> None:
        card, kept_bytes = bundle.card, options.kept_bytes(bundle.card)
        self._bundle = bundle
        self._reason = choice.reason
        tokenizers = load_tokenizers(bundle)
        planners = Planners.of(
            devices[0].denoisers,
            TableCache(card),
            choice.reason,
            options.slots,
            tokenizers=tokenizers,
            profile=profile,
        )
        prompts = PromptCache(kept_bytes) if prompts is None else prompts
        self._intake = Intake(planners, tokenizers, prompts)
        budget = Budget(options.memory_bytes, len(devices), kept_bytes)
        self._desk = Desk(options.queue, budget)
        self._crew = Crew(devices, card, self._desk, slots=options.slots)
        self._traces = () if trace is None else (trace,)
        self._is_warm = False
        self._process = os.getpid()
        self._crew.start(self)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        expect: str | None = None,
        threads: int | None = None,
        slots: int = SLOTS,
        devices: Sequence[str | Target] = (CPU,),
        queue: int = QUEUE,
        memory_bytes: int | None = None,
        cache: str | Path | None = None,
        trace: Trace | None = None,
    ) -> Runtime:
        """Verify a bundle, pick the engines for this machine and load them.

        Args:
            path: the bundle's folder.
            expect: the bundle id that is wanted, or None for any.
            threads: intra-op threads of all devices together; by default the cores this process
                may use.
            slots: pictures that run at the same time on each device.
            devices: where to run, each with engines and threads of its own: "cpu", "cuda:0", or a
                target such as Torch("cuda", dtype="float16"); "cpu" may come several times.
            queue: requests that may wait; one more is refused with `Overloaded`.
            memory_bytes: what pools, kept prompts and open requests may use together, without the
                engines; None means no bound.
            cache: folder of the device profile, which lets plans say how long they take.
            trace: collects the spans of every request.

        Returns:
            A runtime that takes requests; `warm` makes the first one as fast as the others.

        Raises:
            BundleError: the bundle is missing, damaged, foreign, or has nothing that runs here.
            BuildError: an engine cannot be loaded.
            InvalidInput: an option that makes no sense.
        """
        options = Options(slots, queue, threads, tuple(devices), memory_bytes)
        bundle = Bundle.open(Path(path), expect=expect)
        check_sources(bundle.card.conditions)
        choices = [choose(bundle, target) for target in options.targets]
        prompts = PromptCache(options.kept_bytes(bundle.card))
        components = load_components(bundle, choices, options.share, prompts)
        where = components[0].device.title
        key = ProfileKey.of(bundle.id, choices[0].target.name, options.share, where)
        profile = Profile.read(None if cache is None else Path(cache), key)
        return cls(
            bundle, choices[0], components, options, prompts=prompts, profile=profile, trace=trace
        )

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
        listed([request])
        self._check_open()
        return self._intake.planner.plan(request).plan

    def submit(self, request: Request, *, previews: int = 0) -> Ticket:
        """Validate a request and queue it.

        Args:
            request: what is asked.
            previews: tell a clean estimate every so many steps, 0 never.

        Returns:
            Its ticket; the request runs in the background.

        Raises:
            InvalidInput: the request cannot be honoured.
            OutOfProfile: a size that is not compiled.
            OutOfMemory: it needs more than its limit, or than the runtime may ever use.
            Overloaded: the queue or the memory is full; nothing was queued.
            EngineError: the runtime is closed.
        """
        listed([request])
        self._check_process()
        self._desk.check_room()  # before planning: refusing has to be cheap
        job = self._intake.job(request, previews, Mailbox(), self._traces)
        self._desk.submit(job)
        return Ticket(job.number, job.ending, job.mailbox, self._desk)

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
        asked = listed(requests)
        self._check_open()
        bell = Bell()
        traces = self._traces if trace is None else (*self._traces, trace)
        jobs = [self._intake.job(request, 0, Mailbox(bell), traces) for request in asked]
        for job in jobs:
            job.mailbox.is_watched = progress is not None
        results = Batch(self._desk, jobs, bell).run(progress)
        if not isinstance(requests, Request):
            return results
        if results[0].error is not None:
            raise results[0].error
        return results[0]

    def warm(self) -> None:
        """Run every engine once at every bucket and size, so that no request pays for first times.

        Open requests go on; a tick waits for at most one call of every bucket and size.

        Raises:
            OutOfMemory: the pools of all sizes need more than the runtime may use.
            EngineError: an engine failed, or the runtime is closed.
        """
        self._check_open()
        if self.card.further:
            self._desk.reserve(self._intake.planner.smallest_pools)
        self._crew.warm(self._intake.nulls())
        self._is_warm = True

    @property
    def is_ready(self) -> bool:
        """Whether it is warm and takes requests."""
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

    def __enter__(self) -> Runtime:
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
