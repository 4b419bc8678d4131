"""How long one call of an engine takes at each of its buckets."""

from __future__ import annotations

from collections.abc import Callable, Collection
from time import perf_counter

import numpy as np

from denoisert.runtime.engines.engine import Bound, Buffer, Engine, Port
from denoisert.runtime.measure.percentiles import percentile

WARM_UP = 1
FEWEST = 5
MOST = 100

Report = Callable[[int, int], None]


def bucket_times(
    engine: Engine,
    chosen: Collection[int],
    seconds: float,
    report: Report = lambda done, total: None,
) -> dict[int, float]:
    """Measure buckets in turns, so that a busy moment of the machine hits all of them.

    Args:
        engine: idle; nothing else of this process should run.
        chosen: the buckets; none, or none of the engine's, means all that it has.
        seconds: spent on each bucket, with 5 to 100 rounds after one that is not counted.
        report: called after every round with (rounds done, rounds in all as it looks now).

    Returns:
        Bucket -> median seconds of one call.
    """
    wanted = [bucket for bucket in engine.buckets if bucket in chosen] or engine.buckets
    buffers = {bucket: _buffers(engine, bucket) for bucket in wanted}  # engines keep none
    calls = {bucket: engine.bind(bucket, found) for bucket, found in buffers.items()}
    times: dict[int, list[float]] = {bucket: [] for bucket in calls}
    for _ in range(WARM_UP):
        _round(calls)
    budget, spent, rounds = seconds * len(calls), 0.0, 0
    while rounds < FEWEST or (spent < budget and rounds < MOST):
        for bucket, time in _round(calls).items():
            times[bucket].append(time)
            spent += time
        rounds += 1
        report(rounds, max(FEWEST, rounds, min(MOST, round(rounds * budget / max(spent, 1e-9)))))
    return {bucket: percentile(values, 0.5) for bucket, values in times.items()}


def _round(calls: dict[int, Bound]) -> dict[int, float]:
    """Seconds of one call at every bucket."""
    times = {}
    for bucket, call in calls.items():
        start = perf_counter()
        call.run()
        times[bucket] = perf_counter() - start
    return times


def _buffers(engine: Engine, bucket: int) -> dict[str, Buffer]:
    random = np.random.default_rng(bucket)
    inputs = {port.name: _values(port, bucket, random) for port in engine.inputs}
    return inputs | {port.name: port.buffer(bucket) for port in engine.outputs}


def _values(port: Port, bucket: int, random: np.random.Generator) -> Buffer:
    """Normal numbers, since zeros may be faster; label or token 0 exists in every network."""
    zeros = port.buffer(bucket)
    if zeros.dtype.kind != "f":
        return zeros
    return np.ascontiguousarray(random.standard_normal(zeros.shape), dtype=zeros.dtype)
