"""Milliseconds of a launch on a CUDA device, by events, in three ways.

Warm: replayed graphs of many launches, so that neither the host nor a cold cache shows. Cold: one
replayed launch after the cache has been filled with something else. Launched: from the host, one
call after the other, as a loop without graphs does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from bench.gpu.memory import Launch

LAUNCHES = 20  # of one captured graph, so that what its own start costs is shared
WARM_UP = 3
LONG_MS = 1.0  # a launch that is longer hides the start of its graph
MOST_MS = 150.0  # of the timed launches of one kind
REPEATS = (5, 30)  # least and most
FLUSHED = 2**26  # float32 numbers, more than any second-level cache
WAKING = 60  # passes over them: the clocks of an idle card rise within tens of milliseconds
SLEEP = 200_000  # cycles, 0.1 ms: meanwhile the host has handed over all that is timed

Run = Callable[[], object]


class Times(NamedTuple):
    """Milliseconds of one launch.

    Args:
        warm: each value the mean of one graph.
        cold: single launches.
        launched: mean of launches from the host.
    """

    warm: list[float]
    cold: list[float]
    launched: float


def captured(run: Run, count: int = 1) -> Run:
    """Capture `count` calls in one CUDA graph.

    Args:
        run: launches on the current stream, on buffers that stay.
        count: calls.

    Returns:
        What replays them.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream), torch.inference_mode():
        for _ in range(WARM_UP):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), torch.inference_mode():
        for _ in range(count):
            run()
    return graph.replay


def times(launch: Launch) -> Times:
    """Time a launch in all three ways; long ones less often."""
    flushed = torch.zeros(FLUSHED, device="cuda")
    single = captured(launch.run)
    for _ in range(WAKING):
        flushed.sum()

    def ready() -> None:
        launch.reset()
        torch.cuda._sleep(SLEEP)

    one_ms = min(_elapsed_ms(ready, single) for _ in range(WARM_UP))
    count = LAUNCHES if one_ms < LONG_MS else 1
    least, most = REPEATS
    repeats = max(least, min(most, round(MOST_MS / (one_ms * count))))
    many = captured(launch.run, count) if count > 1 else single
    warm = [_elapsed_ms(ready, many) / count for _ in range(repeats)]

    def flush() -> None:
        launch.reset()
        flushed.sum()  # read, not written: what it leaves in the cache needs no way back

    cold = [_elapsed_ms(flush, single) for _ in range(repeats)]
    return Times(warm, cold, _elapsed_ms(launch.reset, _repeated(launch.run, count)) / count)


@torch.inference_mode()
def _elapsed_ms(before: Run, run: Run) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before()
    start.record()
    run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))


def _repeated(run: Run, count: int) -> Run:
    def loop() -> None:
        for _ in range(count):
            run()

    return loop
