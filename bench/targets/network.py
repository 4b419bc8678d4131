"""One call of a network: every target beside torch, in turns, at several numbers of lanes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from time import perf_counter_ns

import numpy as np

from bench.case import Extra, Setting, summary
from bench.targets.contender import REFERENCE, Call, Contender, Output, contenders
from bench.targets.subject import Subject, inputs_of
from denoisert.runtime.measure.against import OURS
from denoisert.runtime.measure.clock import NS_PER_MS
from denoisert.runtime.measure.percentiles import percentile
from denoisert.runtime.measure.record import Record

LANES = (1, 2, 8)
PAUSE_S = 0.02  # lets the threads of the one before stop spinning
SAMPLE_MS = 20.0  # a sample of short calls lasts about as long


def measure(
    subject: Subject, setting: Setting, *, threads: int, rounds: int, lanes: Sequence[int] = LANES
) -> Iterator[Record]:
    """Time every contender in this process, whose torch has `threads` threads.

    Args:
        subject: what is called.
        setting: of the records.
        threads: intra-op threads.
        rounds: counted rounds.
        lanes: batch sizes.

    Yields:
        A record for each contender and number of lanes.
    """
    bundle = subject.bundle()
    found = list(contenders(subject, bundle, threads))
    for count in lanes:
        bound = {each.name: each.bind(inputs_of(bundle, count)) for each in found}
        times = interleaved({name: call for name, (call, _) in bound.items()}, rounds)
        truth = bound[REFERENCE][1]()
        best = fastest(found, times)
        case = f"targets/{subject.place.model} {count} lanes, {threads} threads"
        for each in found:
            extra = each.extra | compared(bound[each.name][1](), truth)
            median = percentile(times[each.name], 0.5)
            if each.dtype in best:
                extra["against_our_best_of_its_dtype"] = round(median / best[each.dtype], 2)
            record = summary(case, each.name, times[each.name], setting, warm_up=1, extra=extra)
            yield replace(record, dtype=each.dtype)


def interleaved(calls: Mapping[str, Call], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of one call of each, in turns, without a round and calls that may compile."""
    counts: dict[str, int] = {}
    for name, call in calls.items():
        call()
        counts[name] = max(1, round(SAMPLE_MS / max(_elapsed_ms(call, 1), 1e-3)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number, name in product(range(rounds + 1), calls):
        time.sleep(PAUSE_S)
        elapsed = _elapsed_ms(calls[name], counts[name])
        if number:
            times[name].append(elapsed)
    return times


def _elapsed_ms(call: Call, count: int) -> float:
    start = perf_counter_ns()
    for _ in range(count):
        call()
    return (perf_counter_ns() - start) / NS_PER_MS / count


def compared(output: Output, truth: Output) -> Extra:
    """Largest error relative to the largest value, and root mean squares likewise."""
    apart = output - truth
    return {
        "max_error": float(f"{np.abs(apart).max() / np.abs(truth).max():.2g}"),
        "rms_error": float(f"{np.sqrt((apart**2).mean() / (truth**2).mean()):.2g}"),
    }


def fastest(found: Sequence[Contender], times: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """dtype -> least median of ours, ms."""
    best: dict[str, float] = {}
    for each in found:
        if each.name.startswith(OURS):
            median = percentile(times[each.name], 0.5)
            best[each.dtype] = min(median, best.get(each.dtype, median))
    return best
