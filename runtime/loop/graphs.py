"""Captured ticks: everything that knows CUDA graphs is here.

A tick depends on the host through its key alone. Coefficients, counters, seeds and addresses lie in
device memory, so one graph serves every solver, step count, scale and seed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import torch

from denoisert.kernels.step.form import Form
from denoisert.runtime.engines.engine import Bound
from denoisert.runtime.engines.target import GRAPHS
from denoisert.runtime.errors import CaptureError


class TickKey(NamedTuple):
    """What a captured tick is made for.

    Args:
        calls: of the engines, each bound to its buffers: a buffer that moves is another call.
        form: column space of the pool.
        passes: those before the update.
    """

    calls: tuple[Bound, ...]
    form: Form
    passes: tuple[bool, ...]

    @property
    def is_capturable(self) -> bool:
        """Whether every engine allows it."""
        return all(call.is_capturable for call in self.calls)


class Rounds(Protocol):
    """Runs the rounds of a pool."""

    def run(self, key: TickKey, launch: Callable[[], None]) -> None:
        """Run one round."""
        ...

    def capture(self, key: TickKey, launch: Callable[[], None]) -> None:
        """Make ready for a round without running it."""
        ...

    def forget(self) -> None:
        """Drop what was made for buffers that have moved."""
        ...

    def counts(self) -> Mapping[str, float]:
        """What happened so far, by the names of `Runtime.stats`."""
        ...


class Eager:
    """Launches every round anew: on a CPU, or where capture is not wanted."""

    def run(self, key: TickKey, launch: Callable[[], None]) -> None:
        """Launch."""
        launch()

    def capture(self, key: TickKey, launch: Callable[[], None]) -> None:
        """There is nothing to make ready."""

    def forget(self) -> None:
        """There is nothing to drop."""

    def counts(self) -> Mapping[str, float]:
        """Nothing is counted."""
        return {}


class Graphs:
    """CUDA graphs of one pool, the least recently used dropped first, in one memory pool.

    A key that is new runs eagerly: that round counts, and what comes into being with a first call
    (kernels, plans of libraries, their workspaces) is there before the capture, which follows.

    Args:
        stream: that the pool runs on.
        most: graphs that are kept.
    """

    def __init__(self, stream: torch.cuda.Stream, most: int = GRAPHS) -> None:
        self._stream = stream
        self._most = most
        self._pool: Any = torch.cuda.graph_pool_handle()
        self._graphs: OrderedDict[TickKey, torch.cuda.CUDAGraph] = OrderedDict()
        self._captured = self._replayed = self._missed = self._dropped = 0

    def run(self, key: TickKey, launch: Callable[[], None]) -> None:
        """Replay the round's graph, or launch it and capture it for the next time.

        Raises:
            CaptureError: it cannot be captured; the round itself has been launched.
        """
        graph = self._graphs.get(key)
        if graph is not None:
            self._graphs.move_to_end(key)
            self._replayed += 1
            graph.replay()
            return
        self._missed += 1
        launch()
        self.capture(key, launch)

    def capture(self, key: TickKey, launch: Callable[[], None]) -> None:
        """Record a round without running it, unless it has been recorded or an engine forbids it.

        Raises:
            CaptureError: something in it cannot be captured.
        """
        if key in self._graphs or not key.is_capturable:
            return
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(self._stream):
                self._record(graph, launch)
        except (RuntimeError, MemoryError) as error:
            self._pool = torch.cuda.graph_pool_handle()  # torch may believe it still records there
            raise CaptureError(
                f"a tick of {len(key.calls)} engine call(s) cannot be captured: {error}. Open the "
                "runtime on Torch(graphs=0), or report the operator that is named."
            ) from error
        self._graphs[key] = graph
        self._captured += 1
        while len(self._graphs) > self._most:
            self._graphs.popitem(last=False)
            self._dropped += 1

    def _record(self, graph: torch.cuda.CUDAGraph, launch: Callable[[], None]) -> None:
        """Capture on the current stream; other threads may use the device meanwhile."""
        graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
        ignored: tuple[type[Exception], ...] = (RuntimeError,)  # after a failure, which says why
        try:
            launch()
            ignored = ()
        finally:
            with suppress(*ignored):
                graph.capture_end()

    def forget(self) -> None:
        """Drop every graph: the buffers they were made for have moved."""
        self._dropped += len(self._graphs)
        self._graphs.clear()
        # With its last graph torch gives a memory pool up and refuses to record into it again.
        self._pool = torch.cuda.graph_pool_handle()

    def counts(self) -> Mapping[str, float]:
        """Captures, replays, misses and graphs that were dropped."""
        return {
            "graphs_captured": self._captured,
            "graphs_replayed": self._replayed,
            "graphs_missed": self._missed,
            "graphs_dropped": self._dropped,
        }
