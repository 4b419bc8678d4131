"""A tick against the bare forward of the same binding, in turns: what the loop adds to a network.

Both are measured inside one run, between its first tick and its last: some ticks, then as many
replays of the engine's own calls, captured alone, on the same buffers and weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

import torch

from bench.case import Extra, Run
from bench.gpu.clock import captured
from bench.loop.launches import launches
from bench.loop.ours import Loop
from denoisert.runtime.engines.engine import Bound
from denoisert.runtime.measure.percentiles import percentile

ROUNDS = 4


def forward(calls: Sequence[Bound], device: str) -> Run:
    """The engine's calls of a tick, replayed as one graph on CUDA."""

    def run() -> None:
        for call in calls:
            call.run()

    if device != "cuda":
        return run
    torch.cuda.synchronize()  # the pool's stream is another one
    return captured(run)


def tick_to_forward(loop: Loop, device: str, rounds: int) -> Extra:
    """Milliseconds of a tick and of its forward, and their ratio.

    Args:
        loop: that has run before.
        device: "cpu" or "cuda".
        rounds: that count; one more comes before them.
    """
    alone = forward(loop.calls(), device)
    ticks, forwards = [], []
    for _ in range(rounds + 1):
        with loop.middle() as middle:
            ticks.append(_each_ms(middle.tick, middle.left, device))
            forwards.append(_each_ms(alone, middle.left, device))
    tick_ms, forward_ms = (percentile(each[1:], 0.5) for each in (ticks, forwards))
    return {
        "tick_ms": round(tick_ms, 4),
        "forward_ms": round(forward_ms, 4),
        "tick_to_forward": round(tick_ms / forward_ms, 4),
    }


def tick_launches(loop: Loop, device: str) -> dict[str, float]:
    """What the host launches in one tick of the middle of a run; empty on a CPU."""
    if device != "cuda":
        return {}
    with loop.middle() as middle:
        count = middle.left
        return launches(lambda: [middle.tick() for _ in range(count)], device, count)


def _each_ms(run: Callable[[], object], count: int, device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = perf_counter()
    for _ in range(count):
        run()
    if device == "cuda":
        torch.cuda.synchronize()
    return 1e3 * (perf_counter() - start) / count
