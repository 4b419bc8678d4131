"""A storm of requests from many threads on one runtime, and what must hold when it is over."""

import asyncio
import gc
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from denoisert.runtime import CFG, Condition, DPMpp2M, EulerAncestral, Heun, Request, Runtime, Start
from denoisert.runtime.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineError,
    NonFinite,
    Overloaded,
)
from denoisert.runtime.events import Admitted, Ended
from denoisert.runtime.request import Limits

THREADS = 8
BREAKING = 7  # the class whose network answers NaN in the middle
OURS = ("loop", "codec")

PLAIN = [
    Request(3, seed=7, images=3, guidance=CFG(3.0)),
    Request(Condition(1, negative=4), seed=8, steps=9, solver=DPMpp2M(), guidance=CFG(2.0)),
    Request(0, seed=9, images=5, steps=4, solver=EulerAncestral()),
    Request(5, seed=10, steps=30, solver=Heun()),
    Request(2, seed=11, steps=1),
    Request(BREAKING, seed=12, images=2, steps=5),
]
WORDS = [
    Request("red apple", seed=7, images=2, steps=3, guidance=CFG(3.0)),
    Request(Condition("a blue boat", negative="rain"), seed=8, steps=5, guidance=CFG(2.0)),
    Request("sea " * 40, seed=9, steps=4),
    Request("red apple", seed=10, steps=6, start=Start(np.full((32, 32, 3), 90, np.uint8), 0.5)),
]


class Thrown(Exception):
    """What a callback of a user throws."""


@dataclass
class Storm:
    """What the threads of one storm have seen."""

    runtime: Runtime
    plain: list
    solo: list
    seed: int
    ended: Counter = field(default_factory=Counter)
    tickets: list = field(default_factory=list)
    wrong: list = field(default_factory=list)

    def run(self, actions: int) -> None:
        """Every thread acts; two of them close the runtime in the end, each in its own way."""
        closing = threading.Barrier(THREADS)
        with ThreadPoolExecutor(THREADS) as pool:
            done = [pool.submit(self._act, each, actions, closing) for each in range(THREADS)]
        for each in done:
            each.result(0)
        self.runtime.close()

    def _act(self, thread: int, actions: int, closing: threading.Barrier) -> None:
        rng = random.Random(self.seed * 1000 + thread)
        acts = (self._wait, self._cancel, self._watch, self._leave, self._throw, self._await)
        with suppress(EngineError):  # somebody has closed the runtime
            for _ in range(actions):
                self._once(rng, rng.choice(acts))
            closing.wait(60)
            if thread < 3:
                self.runtime.close(drain_s=(0, None, 0.01)[thread])
            for _ in range(3):
                self._once(rng, self._wait)

    def _once(self, rng: random.Random, act) -> None:
        index = rng.randrange(len(self.plain))
        deadline = rng.choice([None, None, None, 0.0005, 0.01])
        limits = Limits(deadline_s=deadline, priority=rng.choice([0, 0, 1, 5]))
        with suppress(Overloaded):
            act(rng, index, replace(self.plain[index], limits=limits))

    def _submit(self, request, **options):
        ticket = self.runtime.submit(request, **options)
        self.tickets.append(ticket)
        return ticket

    def _wait(self, rng, index, request) -> None:
        self._check(index, request, self._submit(request, previews=rng.choice([0, 0, 2])))

    def _cancel(self, rng, index, request) -> None:
        ticket = self._submit(request)
        time.sleep(rng.choice([0, 0, 0.001, 0.01]))
        ticket.cancel()
        ticket.cancel()
        self._check(index, request, ticket, (Cancelled,))

    def _watch(self, rng, index, request) -> None:
        ticket = self._submit(request, previews=1)
        pause = rng.choice([0, 0.002])
        kinds = []
        for event in ticket.events():
            kinds.append(type(event))
            time.sleep(pause)
        if kinds.count(Ended) != 1 or kinds[-1] is not Ended or kinds.count(Admitted) > 1:
            self.wrong.append((request, kinds))
        self._check(index, request, ticket)

    def _leave(self, rng, index, request) -> None:
        self._submit(request)  # nobody ever looks at it again

    def _throw(self, rng, index, request) -> None:
        limit = rng.randrange(20)

        def progress(done, total):
            if done > limit:
                raise Thrown

        with suppress(Thrown, NonFinite, DeadlineExceeded, Cancelled):
            self.runtime.generate([request, self.plain[1]], progress=progress)

    def _await(self, rng, index, request) -> None:
        patience = rng.choice([0.001, 30])

        async def wait(ticket):
            with suppress(TimeoutError):
                await asyncio.wait_for(ticket, patience)

        ticket = self._submit(request)
        with suppress(NonFinite, DeadlineExceeded, Cancelled, EngineError):
            asyncio.run(wait(ticket))
        self._check(index, request, ticket, (Cancelled,))

    def _check(self, index, request, ticket, also=()) -> None:
        """Wait, and compare a survivor with its solo run."""
        allowed = [Cancelled, *also]  # the runtime may be closed at any time
        allowed += [NonFinite] if request.condition == BREAKING else []
        allowed += [DeadlineExceeded] if request.limits.deadline_s else []
        try:
            result = ticket.result(60)
        except tuple(allowed) as error:
            self.ended[type(error).__name__] += 1
            return
        self.ended["done"] += 1
        if not np.array_equal(result.flat, self.solo[index].flat) or not np.array_equal(
            np.asarray(result.pixels), np.asarray(self.solo[index].pixels)
        ):
            self.wrong.append((request, "other bits"))


def solo_runs(path, plain) -> list:
    """Every plain request alone, None where it cannot end well."""
    with Runtime.open(path, threads=1, slots=1) as runtime:
        return [None if each.condition == BREAKING else runtime.generate(each) for each in plain]


def check_over(storm: Storm) -> None:
    """Nothing is open, nothing ended twice or never, no thread is left."""
    assert not storm.wrong
    assert all(ticket.is_done for ticket in storm.tickets)
    stats = storm.runtime.stats()
    kinds = ("done", "failed", "cancelled", "expired")
    assert stats["requests_submitted"] == sum(stats[f"requests_{kind}"] for kind in kinds)
    assert stats["requests_waiting"] == stats["requests_running"] == 0
    assert len(storm.tickets) <= stats["requests_submitted"]
    assert our_threads() == []


def our_threads() -> list[str]:
    """Names of threads of any runtime in this process."""
    return [each.name for each in threading.enumerate() if each.name.startswith(OURS)]


def collected(reference) -> bool:
    """Whether garbage collection reaches something that nobody should hold."""
    for _ in range(5):
        gc.collect()
        if reference() is None:
            return True
        time.sleep(0.05)
    return False
