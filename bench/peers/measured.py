"""What is kept of a provider while it is measured."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.peers.process import PeerEnded
from bench.peers.work import TASKS

Reply = dict[str, Any]  # what `bench.peers.serve` answers


@dataclass(slots=True)
class Measured:
    """What one provider showed.

    Args:
        ms: by task, one value a counted request or batch.
        cold_ms: process start to first picture, one value a counted process.
        cold_first_ms: the same of the first, uncounted process.
        peak_mib: most memory of each counted fresh process.
        warm_peak_mib: most memory of the process that did all tasks.
        failure: what the provider said when it ended too early, or empty.
        loads: load averages while it was measured.
    """

    ms: dict[str, list[float]] = field(default_factory=lambda: {task: [] for task in TASKS})
    cold_ms: list[float] = field(default_factory=list)
    cold_first_ms: float = 0.0
    peak_mib: list[float] = field(default_factory=list)
    warm_peak_mib: float = 0.0
    failure: str = ""
    loads: list[float] = field(default_factory=list)

    @contextmanager
    def failing(self) -> Iterator[Measured]:
        """Note that the provider ended instead of answering, and go on without it."""
        try:
            yield self
        except PeerEnded as error:
            self.failure = self.failure or str(error)
            print(self.failure, flush=True)

    def keep(self, task: str, replies: Sequence[Reply], number: int) -> None:
        """Keep a round of a task; round 0 is not counted."""
        self.loads.append(os.getloadavg()[0])
        self.warm_peak_mib = replies[-1]["peak_mib"]
        if number:
            self.ms[task] += [reply["ms"] for reply in replies]

    def keep_cold(self, cold_ms: float, reply: Reply, number: int) -> None:
        """Keep a fresh process; the first, which fills the page cache, counts apart."""
        self.loads.append(os.getloadavg()[0])
        if number:
            self.cold_ms.append(cold_ms)
            self.peak_mib.append(reply["peak_mib"])
        else:
            self.cold_first_ms = cold_ms
