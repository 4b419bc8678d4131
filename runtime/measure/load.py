"""A load generator: closed loop (N clients) and open loop (Poisson arrivals), in one thread.

Latency counts from the moment a request was *meant* to be sent, so a server that stalls is charged
for everyone it kept waiting, not only for the one request that happened to be under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from time import thread_time
from typing import Protocol

from denoisert.runtime.errors import DeadlineExceeded, DenoiseRTError, Overloaded
from denoisert.runtime.measure.arrivals import poisson
from denoisert.runtime.request import Request


class Answer(Protocol):
    """What the generator keeps of a result."""

    @property
    def phases(self) -> Mapping[str, float]:
        """Milliseconds by phase."""
        ...


BACK_OFF_S = 0.05  # a client of the closed loop that got no answer waits before it asks again

Submit = Callable[[Request], Awaitable[Answer]]
Draw = Callable[[int], Request]


class Outcome(Enum):
    """How a request ended."""

    DONE = "done"
    REFUSED = "refused"  # the queue was full
    EXPIRED = "expired"  # its deadline passed
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Sample:
    """One request of a load.

    Args:
        due: when it was meant to be sent, in seconds from the start.
        sent: when it was sent.
        end: when its answer was here.
        outcome: how it ended.
        images: pictures that it asked for.
        phases: milliseconds by phase, empty where it did not end well.
        error: what went wrong, "" if nothing did.
    """

    due: float
    sent: float
    end: float
    outcome: Outcome
    images: int
    phases: Mapping[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def latency_ms(self) -> float:
        """From the intended arrival to the answer."""
        return 1e3 * (self.end - self.due)

    @property
    def lag_ms(self) -> float:
        """How much later than meant it was sent."""
        return 1e3 * (self.sent - self.due)


class Client:
    """Sends requests and keeps what became of them; lives in one event loop.

    Args:
        submit: hands a request over; raises at once or returns what to await.
        draw: request number -> request.
        first: number of the first request.
    """

    def __init__(self, submit: Submit, draw: Draw, first: int = 0) -> None:
        self._submit = submit
        self._draw = draw
        self._number = first
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self.samples: list[Sample] = []
        self.submit_s = 0.0

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self._loop.time() - self._start

    async def send(self, due: float) -> Outcome:
        """Send one request and wait for its end.

        Args:
            due: when it was meant to be sent.

        Returns:
            How it ended.
        """
        request = self._draw(self._number)
        self._number += 1
        sent = self.now
        phases: Mapping[str, float] = {}
        outcome, error = Outcome.DONE, ""
        try:
            phases = (await self._handed_over(request)).phases
        except Overloaded:
            outcome = Outcome.REFUSED
        except DeadlineExceeded:
            outcome = Outcome.EXPIRED
        except DenoiseRTError as failure:
            outcome, error = Outcome.FAILED, f"{type(failure).__name__}: {failure}"
        self.samples.append(Sample(due, sent, self.now, outcome, request.images, phases, error))
        return outcome

    def _handed_over(self, request: Request) -> Awaitable[Answer]:
        """Submit, counting the processor time of validation and planning in this thread."""
        start = thread_time()
        try:
            return self._submit(request)
        finally:
            self.submit_s += thread_time() - start


@dataclass(frozen=True, slots=True)
class Closed:
    """N clients, each of which sends the next request when it has its answer.

    Args:
        clients: N, at least 1.
    """

    clients: int

    def __str__(self) -> str:
        return f"closed loop, {self.clients} client{'s' if self.clients > 1 else ''}"

    async def drive(self, client: Client, seconds: float, seed: int) -> None:
        """Send for some seconds, then wait for the last answers."""
        del seed  # nothing here is drawn

        async def turn() -> None:
            while client.now < seconds:
                if await client.send(client.now) is not Outcome.DONE:
                    await asyncio.sleep(BACK_OFF_S)

        async with asyncio.TaskGroup() as running:
            for _ in range(self.clients):
                running.create_task(turn())


@dataclass(frozen=True, slots=True)
class Open:
    """Requests arrive when they like, whether or not earlier ones have their answer.

    Args:
        rate: requests per second.
        label: what it is called, for example "0.5x"; "" for the rate itself.
    """

    rate: float
    label: str = ""

    def __str__(self) -> str:
        return f"open loop, {self.label or f'{self.rate:g} requests/s'}"

    async def drive(self, client: Client, seconds: float, seed: int) -> None:
        """Send at the drawn times, then wait for the last answers."""
        async with asyncio.TaskGroup() as running:  # who cancels this cancels all of them
            for due in poisson(self.rate, seconds, seed):
                await asyncio.sleep(max(0.0, due - client.now))
                running.create_task(client.send(due))


Load = Closed | Open


@dataclass(frozen=True, slots=True)
class Trial:
    """What one load showed.

    Args:
        load: who sent and when.
        seconds: how long requests were sent.
        samples: every request, in the order of their ends.
        client_s: processor time of the generator's thread, planning included.
        submit_s: of it, inside `submit`: validation and planning, which any caller pays.
    """

    load: Load
    seconds: float
    samples: tuple[Sample, ...]
    client_s: float
    submit_s: float

    def of(self, outcome: Outcome) -> list[Sample]:
        """The requests that ended in this way."""
        return [sample for sample in self.samples if sample.outcome is outcome]

    @property
    def span(self) -> float:
        """Seconds over which throughput is counted.

        The window for an open loop; for a closed one up to the last answer inside the window, since
        what is still under way then was worked on, too.
        """
        inside = [each.end for each in self.of(Outcome.DONE) if each.end <= self.seconds]
        if isinstance(self.load, Open):
            return self.seconds
        return max(inside) if inside else max((each.end for each in self.samples), default=0.0)

    @property
    def counted(self) -> list[Sample]:
        """The answers that came within the span."""
        span = self.span
        return [each for each in self.of(Outcome.DONE) if each.end <= span]


async def measure(
    load: Load, submit: Submit, draw: Draw, *, seconds: float, seed: int = 0, first: int = 0
) -> Trial:
    """Put a load on a server and wait until every request has ended.

    Args:
        load: who sends and when.
        submit: the server; what it returns is awaited in this event loop.
        draw: request number -> request.
        seconds: how long requests are sent.
        seed: of the arrivals.
        first: number of the first request.

    Returns:
        Every request with its end.
    """
    client = Client(submit, draw, first)
    start = thread_time()
    await load.drive(client, seconds, seed)
    spent = thread_time() - start
    return Trial(load, seconds, tuple(client.samples), spent, client.submit_s)
