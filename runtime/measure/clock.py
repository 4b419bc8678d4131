"""Interleaved timing: every provider once per round, so that noise hits all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter_ns

NS_PER_MS = 1e6


def interleaved(
    providers: Mapping[str, Callable[[], object]], *, warm_up: int, repeats: int
) -> dict[str, list[float]]:
    """Time several providers of the same work, taking turns.

    Args:
        providers: name -> one run of the work.
        warm_up: rounds that are not counted.
        repeats: rounds that are.

    Returns:
        Milliseconds of every counted round, per provider.
    """
    times: dict[str, list[float]] = {name: [] for name in providers}
    for turn in range(warm_up + repeats):
        for name, run in providers.items():
            start = perf_counter_ns()
            run()
            elapsed = (perf_counter_ns() - start) / NS_PER_MS
            if turn >= warm_up:
                times[name].append(elapsed)
    return times
