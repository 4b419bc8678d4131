"""The loop thread: it alone touches the pools and the denoiser's engine of its device.

Between two ticks it runs what was posted: new requests, cancellations, and whatever else has to
happen while no engine runs. A tick itself tells nobody anything unless somebody watches.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty
from time import perf_counter_ns
from typing import TYPE_CHECKING

import numpy as np

from denoisert.runtime.errors import DeadlineExceeded, DenoiseRTError, EngineError
from denoisert.runtime.events import Admitted, Preview, Stepped
from denoisert.runtime.loop.tick import TickTime, tick
from denoisert.runtime.stats import TickCounts
from denoisert.runtime.threads.job import NS_PER_MS, NS_PER_S, Job
from denoisert.runtime.threads.pools import Pools
from denoisert.runtime.threads.worker import Worker

if TYPE_CHECKING:
    from denoisert.runtime.threads.codec import Codec
    from denoisert.runtime.threads.desk import Desk

FEW_DEADLINES = 64
MOST_UNDECODED = 64
"""Pictures that may wait for the decoder before no further request gets a slot."""


class Loop(Worker):
    """Ticks pools as long as they have works, by turns where there are several.

    Attributes:
        load: stages of the requests that it was given; the desk counts.
        counts: what its ticks added up to.

    Args:
        name: of the thread, and of its track in traces.
        pools: what it owns.
        desk: whose requests it computes.
        codec: prepares requests and decodes latents, None where there is nothing of the kind.
    """

    def __init__(self, name: str, pools: Pools, desk: Desk, codec: Codec | None = None) -> None:
        super().__init__(name, desk.abandon)
        self.load = 0
        self.counts = TickCounts()
        self._pools = pools
        self._pool = pools.first  # whose turn it is
        self._desk = desk
        self._codec = codec
        self._jobs: dict[int, Job] = {}
        self._places: dict[int, tuple[Job, int]] = {}
        self._held: list[Job] = []
        self._watched: dict[int, Job] = {}
        self._traced: dict[int, Job] = {}
        self._deadlines: list[tuple[int, int]] = []
        self._seen = self._pool.active

    def take(self, jobs: Sequence[Job]) -> None:
        """Take new requests, all between the same two ticks; the codec prepares what needs it."""
        for job in jobs:
            if job.ending.is_over():
                continue
            self._jobs[job.number] = job
            if job.deadline_ns is not None:
                self._expect(job.deadline_ns, job.number)
            if job.mailbox.is_watched:
                self._watched[job.number] = job
            if job.traces:
                self._traced[job.number] = job
            if job.is_ready or self._codec is None:
                self.admit(job)
            else:
                self._codec.prepare(job, self)

    def admit(self, job: Job) -> None:
        """Queue a prepared request in the pool, unless the decoder lags too far behind."""
        if job.number not in self._jobs or job.ending.is_over():
            return
        if self._codec is not None and self._codec.backlog > MOST_UNDECODED:
            self._held.append(job)
            return
        try:
            self._pools.load()
            pool = self._pools.of(job.planned.layout)
            for work in job.works():
                number = pool.submit(work)
                job.numbers.append(number)
                self._places[number] = (job, work.image)
        except DenoiseRTError as error:  # no engine, no memory, or a table that no pool can hold
            self.drop(job, error)

    def forget(self, job: Job) -> None:
        """The codec is through with a request; those that were held for its sake may come."""
        self._jobs.pop(job.number, None)
        held, self._held = self._held, []
        for each in held:
            self.admit(each)

    def drop(self, job: Job, error: DenoiseRTError) -> None:
        """End a request between two ticks; its slots are free at once."""
        for number in job.numbers:
            if self._places.pop(number, None) is not None:
                pool = self._pools.of(job.planned.layout)
                pool.cancel(number, error)
                pool.outcomes.pop(number, None)
        self._finish(job, error)

    def watch(self, job: Job) -> None:
        """Report a request's steps from now on."""
        if job.number in self._jobs:
            self._watched[job.number] = job

    def work(self) -> None:
        """Run what was posted, then one tick; wait for a call while every pool is idle."""
        with np.errstate(over="ignore", invalid="ignore"):  # a slot's status reports it instead
            while not self._is_over:
                if self._pools.are_several:
                    self._pool = self._pools.after(self._pool)
                self._listen()
                if self._deadlines:
                    self._expire()
                if not self._pool.is_idle:
                    self._tick()

    def warm(self) -> None:
        """Pay for the first time of everything; called between two ticks."""
        self._pools.warm()

    def stats(self) -> dict[str, float]:
        """Its counts, by the names of `Runtime.stats`."""
        return {**self.counts.numbers(), **self._pools.stats()}

    def release(self) -> None:
        """Forget the pools and close their engine."""
        self._pools.close()

    def _listen(self) -> None:
        calls = self._calls
        if self._pool.is_idle and calls.empty():
            call: Callable[[], object] | None = None
            with suppress(Empty):
                call = calls.get(timeout=self._patience_s())
            if call is not None:
                call()
        while not calls.empty():
            calls.get()()

    def _patience_s(self) -> float | None:
        """How long the loop may sleep."""
        if not self._deadlines:
            return None
        return max(0.0, (self._deadlines[0][0] - perf_counter_ns()) / NS_PER_S)

    def _expect(self, deadline_ns: int, number: int) -> None:
        """Remember a deadline; those of ended requests go when they are the most."""
        if len(self._deadlines) > FEW_DEADLINES + 2 * len(self._jobs):
            self._deadlines = [entry for entry in self._deadlines if entry[1] in self._jobs]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (deadline_ns, number))

    def _expire(self) -> None:
        now = perf_counter_ns()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, number = heapq.heappop(self._deadlines)
            job = self._jobs.get(number)
            if job is not None:
                seconds = job.request.limits.deadline_s
                where = "while it ran" if job.is_started else "before it got a slot"
                self.drop(job, DeadlineExceeded(f"the deadline of {seconds} s passed {where}."))

    def _tick(self) -> None:
        pool = self._pool
        start = perf_counter_ns()
        pool.admit()  # ahead of `tick`, so that the desk hears of new places before the engine runs
        if pool.active is not self._seen:
            self._greet(start)
        times = tick(pool)._replace(start=start)
        counts = self.counts
        counts.ticks += 1
        counts.lanes += pool.lanes
        counts.lanes_padded += pool.lanes_padded
        counts.engine_ns += times.engine_end - times.engine_start
        counts.tick_ns += times.end - start
        if self._traced:
            self._trace(times)
        if self._watched:
            self._tell()
        if pool.previews:
            self._show()
        if pool.outcomes:
            self._collect()

    def _greet(self, now: int) -> None:
        """Find the requests that have just got their first slot."""
        self._seen = self._pool.active
        for slot in self._seen:
            job, _ = self._places[slot.number]
            if not job.is_started and self._desk.start(job):
                job.started_ns = now
                job.engine_ns = self.counts.engine_ns
                job.note("queue", job.queued_ns, now)
                job.mailbox.put(Admitted())
                job.mailbox.bell.ring()

    def _tell(self) -> None:
        """Report the steps of pictures that somebody watches."""
        for slot in self._pool.active:
            job, image = self._places[slot.number]
            if job.number in self._watched:
                _report(job, image, slot.counter - 1)

    def _show(self) -> None:
        """Put clean estimates into the mailboxes of their requests."""
        for preview in self._pool.previews:
            place = self._places.get(preview.number)
            if place is not None:
                job, image = place
                job.mailbox.put(Preview(image, preview.step, preview.latent, job.draw))
                job.mailbox.bell.ring()
                self.counts.previews_sent += 1
        self._pool.previews.clear()

    def _collect(self) -> None:
        """Take over what has ended, and end the requests that this completes."""
        pool = self._pool
        for number in tuple(pool.outcomes):
            if number not in pool.outcomes:
                continue  # its request has failed in this very loop
            outcome = pool.take(number)
            job, image = self._places.pop(number)
            if outcome.latent is None:
                self.drop(job, outcome.error or EngineError("a picture ended without a latent."))
                continue
            job.latents[image], job.tapes[image] = outcome.latent, outcome.tapes
            if job.number in self._watched:
                _report(job, image, job.planned.table.stages)
            if len(job.latents) == job.request.images:
                self._finish(job, None)
        self._seen = pool.active  # the old list would keep what has ended

    def _finish(self, job: Job, error: DenoiseRTError | None) -> None:
        """A request needs the pool no more."""
        if job.started_ns:
            job.note("ticks", job.started_ns, perf_counter_ns())
            job.phases["engine"] = (self.counts.engine_ns - job.engine_ns) / NS_PER_MS
            job.started_ns = 0
        self._watched.pop(job.number, None)
        self._traced.pop(job.number, None)
        is_picture = error is None and not job.is_noisy
        if is_picture and self._codec is not None and self._codec.has_decoder:
            self._codec.decode(job, self)  # known here until then: its deadline may still pass
            return
        self._jobs.pop(job.number, None)
        self._desk.end(job, error)

    def _trace(self, times: TickTime) -> None:
        """Record a tick in the traces of the requests that it may have served."""
        pool = self._pool
        traces = {id(trace): trace for job in self._traced.values() for trace in job.traces}
        for trace in traces.values():
            trace.add("tick", times.start, times.end, self.name, slots=times.slots)
            track = self.name.replace("loop", "engine")
            trace.add("engine", times.engine_start, times.engine_end, track, lanes=pool.lanes)
        for slot in self._seen:  # those of this tick: who has ended is still in the list
            job, _ = self._places[slot.number]
            place = f"{self.name.replace('loop', 'slot')}{self._pools.title(pool)} {slot.index}"
            for trace in job.traces:
                arguments = {"request": job.number, "row": slot.counter - 1}
                trace.add("step", times.start, times.end, place, **arguments)


def _report(job: Job, image: int, row: int) -> None:
    """Tell how far a picture is; a step of several stages is told once."""
    steps = job.planned.table.steps
    job.mailbox.rows += 1
    if steps[row] != steps[row - 1]:
        job.mailbox.put(Stepped(image, int(steps[row]), int(steps[-1])))
    job.mailbox.bell.ring()
