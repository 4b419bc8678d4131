"""Runs several planned requests on one pool until all of them have ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns

import numpy as np

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.loop.pool import Pool
from denoisert.runtime.loop.slot import Outcome, Work
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.measure.trace import Trace
from denoisert.runtime.planner import Planned
from denoisert.runtime.request import Request
from denoisert.runtime.result import Result

NS_PER_MS = 1e6

Progress = Callable[[int, int], None]


class Batch:
    """Requests that run together.

    Args:
        pool: where they run; idle before and after.
        card: of the model.
        progress: called after every tick with (rows done, rows in all).
        trace: collects the spans, or None.
    """

    def __init__(
        self, pool: Pool, card: Card, progress: Progress | None, trace: Trace | None
    ) -> None:
        self._pool = pool
        self._card = card
        self._progress = progress
        self._trace = trace

    def run(self, asked: Sequence[tuple[Request, Planned]]) -> list[Result]:
        """Run every picture of every request.

        Args:
            asked: requests with their plans.

        Returns:
            One result per request, in order.
        """
        start = perf_counter_ns()
        total = sum(request.images * planned.table.stages for request, planned in asked)
        try:
            numbers = [self._submit(request, planned) for request, planned in asked]
            # A latent that overflows is reported by its slot's status, not by a warning.
            with np.errstate(over="ignore", invalid="ignore"):
                engine_ns = self._ticks(total)
            outcomes = [[self._pool.take(number) for number in images] for images in numbers]
        finally:
            self._pool.clear()
        end = perf_counter_ns()
        phases = {"ticks": (end - start) / NS_PER_MS, "engine": engine_ns / NS_PER_MS}
        return [
            self._result(images, planned, dict(phases))
            for images, (_, planned) in zip(outcomes, asked, strict=True)
        ]

    def _submit(self, request: Request, planned: Planned) -> list[int]:
        return [self._pool.submit(_work(request, planned, i)) for i in range(request.images)]

    def _ticks(self, total: int) -> int:
        """Tick until the pool is idle; return the engines' share in nanoseconds."""
        done = engine_ns = 0
        while not self._pool.is_idle:
            times = tick(self._pool)
            engine_ns += times.engine_end - times.engine_start
            done += times.slots
            if self._trace is not None:
                self._trace.add("tick", times.start, times.end, "loop", slots=times.slots)
                self._trace.add("engine", times.engine_start, times.engine_end, "engine")
            if self._progress is not None:
                self._progress(done, total)
        return engine_ns

    def _result(
        self, outcomes: Sequence[Outcome], planned: Planned, phases: dict[str, float]
    ) -> Result:
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        latents = [outcome.latent for outcome in outcomes if outcome.latent is not None]
        layout = self._card.layout
        return Result(
            layout=layout,
            picture=self._card.picture,
            flat=np.zeros((0, layout.elements), np.float32) if errors else np.stack(latents),
            phases=phases,
            nfe=planned.table.nfe,
            error=errors[0] if errors else None,
        )


def _work(request: Request, planned: Planned, image: int) -> Work:
    return Work(
        table=planned.table,
        asks=planned.asks,
        conditions=planned.conditions,
        seed=int(request.seed),
        image=image,
        externals=planned.externals,
    )
