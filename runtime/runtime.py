"""The runtime that services embed: open a bundle, plan, submit or generate, close."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

from denoisert.runtime.batch import Batch, Progress, listed
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.components import Components, load_components, load_tokenizers
from denoisert.runtime.conditioning import check_sources
from denoisert.runtime.engines.choice import ON_CPU, Choice, choose
from denoisert.runtime.engines.target import CPU, Target
from denoisert.runtime.intake import Intake
from denoisert.runtime.measure.profile import Profile, ProfileKey, measured_seconds
from denoisert.runtime.measure.trace import Trace
from denoisert.runtime.memory import MemoryPlan, memory_of
from denoisert.runtime.options import QUEUE, SLOTS, Options
from denoisert.runtime.phase import Phase
from denoisert.runtime.plan import Plan
from denoisert.runtime.planners import Planners
from denoisert.runtime.request import Request
from denoisert.runtime.result import Result
from denoisert.runtime.sampler import TableCache
from denoisert.runtime.service import Service
from denoisert.runtime.text.cache import PromptCache
from denoisert.runtime.threads.bell import Bell
from denoisert.runtime.threads.budget import Budget
from denoisert.runtime.threads.crew import Crew
from denoisert.runtime.threads.desk import Desk
from denoisert.runtime.threads.mailbox import Mailbox
from denoisert.runtime.ticket import Ticket


class Runtime(Service):
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
        self._choice = choice
        tokenizers = load_tokenizers(bundle)
        planners = Planners.of(
            devices[0].denoisers,
            TableCache(card),
            choice.reason,
            options.slots,
            tokenizers=tokenizers,
            profile=profile,
            notes=choice.notes,
        )
        prompts = PromptCache(kept_bytes) if prompts is None else prompts
        budget = Budget(options.memory_bytes, len(devices), kept_bytes)
        desk = Desk(options.queue, budget)
        crew = Crew(devices, card, desk, options)
        super().__init__(Intake(planners, tokenizers, prompts), desk, crew)
        self._traces = () if trace is None else (trace,)
        crew.start(self)

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
        releases: Sequence[Phase] = (),
        cache: str | Path | None = None,
        trace: Trace | None = None,
    ) -> Runtime:
        """Verify a bundle and pick engines; a phase is loaded when it is first used, or by `warm`.

        Args:
            path: the bundle's folder.
            expect: the bundle id that is wanted, or None for any.
            threads: intra-op threads of all devices together; default: this process's cores.
            slots: pictures that run at the same time on each device.
            devices: where to run, each with engines and threads of its own: "cpu", "cuda:0", or a
                target such as Torch("cuda", dtype="float16"); "cpu" may come several times.
            queue: requests that may wait; one more is refused with `Overloaded`.
            memory_bytes: what pools, kept prompts and open requests may use together, without the
                engines; None means no bound.
            releases: phases that leave memory while nobody needs them: Phase.TEXT, Phase.CODEC.
            cache: folder of the device profile, which lets plans say how long they take.
            trace: collects the spans of every request.

        Returns:
            A runtime that takes requests.

        Raises:
            BundleError: the bundle is missing, damaged, foreign, or has nothing that runs here.
            BuildError: no engine could have its ports.
            InvalidInput: an option that makes no sense.
        """
        options = Options(slots, queue, threads, tuple(devices), memory_bytes, tuple(releases))
        bundle = Bundle.open(Path(path), expect=expect)
        check_sources(bundle.card.conditions)
        folder = None if cache is None else Path(cache)
        choices = _choices(bundle, options, folder)
        prompts = PromptCache(options.kept_bytes(bundle.card))
        components = load_components(bundle, choices, options.share, prompts, folder)
        target, where = choices[0].target, components[0].device.title
        profile = Profile.read(folder, ProfileKey.of(bundle.id, target, options.share, where))
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

    @property
    def choice(self) -> Choice:
        """What runs it and why; `lines` also says why each other set of the bundle does not."""
        return self._choice

    def __repr__(self) -> str:
        return f"Runtime.open({str(self._bundle.root)!r})  # {self._choice.reason}"

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

    def memory(self, request: Request) -> MemoryPlan:
        """Validate a request and say how much memory it takes, phase by phase.

        Args:
            request: what is asked.

        Returns:
            Weights, workspace and buffers of each phase; nothing is loaded.

        Raises:
            DenoiseRTError: see `plan`.
        """
        listed([request])
        self._check_open()
        planned = self._intake.planner.plan(request)
        return memory_of(self._bundle, self._choice, planned.layout, planned.plan)

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


def _choices(bundle: Bundle, options: Options, cache: Path | None) -> list[Choice]:
    """Of every device; what was measured on this processor counts."""
    seconds = measured_seconds(bundle.id, ON_CPU, cache, options.share)
    return [choose(bundle, device, seconds) for device in options.devices]
