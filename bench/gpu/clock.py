"""Milliseconds of a launch on a CUDA device, by events around replayed graphs."""

from __future__ import annotations

from collections.abc import Callable

import torch

LAUNCHES = 20  # of one captured graph, so that what its own start costs is shared
WARM_UP = 3
FLUSHED_BYTES = 2**28  # more than any second-level cache

Run = Callable[[], object]


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


def warm_ms(run: Run, repeats: int) -> list[float]:
    """Each value is the mean of one replayed graph of launches: data stay in the cache."""
    replay = captured(run, LAUNCHES)
    replay()
    return [_elapsed_ms(replay) / LAUNCHES for _ in range(repeats)]


def cold_ms(run: Run, repeats: int) -> list[float]:
    """Single launches, each after a write that fills the cache; the graph's start is in them."""
    replay = captured(run)
    flushed = torch.empty(FLUSHED_BYTES, dtype=torch.uint8, device="cuda")
    values = []
    for _ in range(repeats):
        flushed.zero_()
        values.append(_elapsed_ms(replay))
    return values


def _elapsed_ms(replay: Run) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    replay()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))
