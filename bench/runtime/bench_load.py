"""Load: an open loop at 0.5, 0.9, 1.1 and 2.0 of the capacity, every request with a deadline.

The capacity is what a closed loop of 8 clients reaches; the deadline is four of its median
latencies. Beside the latency of what was answered stand the throughput, how the rest ended, how
long a full queue takes to refuse, and by how much an expired request missed its deadline.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bench.case import Case, Extra, Setting, Size, summary
from bench.run import BUNDLE, compiled, here, measured
from denoisert.runtime import Runtime
from denoisert.runtime.measure.load import Closed, Load, Open, Outcome, Trial, measure
from denoisert.runtime.measure.mix import Mix
from denoisert.runtime.measure.percentiles import percentile, tail
from denoisert.runtime.measure.record import Record

CLIENTS = 8
QUEUE = 16
SHARES = (0.5, 0.9, 1.1, 2.0)
LATENCIES = 4
SECONDS = {Size.FULL: 60.0, Size.TINY: 0.3}


def cases(size: Size) -> list[Case]:
    """The digits bundle, or whatever bundle the setting has."""
    seconds = SECONDS[size]
    return [Case(f"runtime/load {seconds:g} s each", partial(_measure, seconds=seconds))]


def _measure(case: str, setting: Setting, *, seconds: float) -> Iterator[Record]:
    with Runtime.open(setting.bundle, threads=setting.machine.cores, queue=QUEUE) as runtime:
        runtime.warm()
        mix = Mix.of(runtime.card)
        closed = _trial(runtime, mix, Closed(CLIENTS), seconds)
        yield _record(case, setting, closed, 0.0)
        capacity = len(closed.counted) / closed.span
        median_ms = percentile([each.latency_ms for each in closed.of(Outcome.DONE)], 0.5)
        deadline_s = LATENCIES * median_ms / 1e3
        for share in SHARES:
            load = Open(share * capacity, f"{share:g}x")
            trial = _trial(runtime, mix.bounded(deadline_s), load, seconds)
            yield _record(case, setting, trial, deadline_s)


def _trial(runtime: Runtime, mix: Mix, load: Load, seconds: float) -> Trial:
    return asyncio.run(measure(load, runtime.submit, mix.draw, seconds=seconds))


def _record(case: str, setting: Setting, trial: Trial, deadline_s: float) -> Record:
    """One load; providers are told apart by their load."""
    done, expired = trial.of(Outcome.DONE), trial.of(Outcome.EXPIRED)
    refusals = [each.latency_ms for each in trial.of(Outcome.REFUSED)]
    misses = [1e3 * (each.end - each.sent - deadline_s) for each in expired]
    latencies = [each.latency_ms for each in done]
    wall = max((each.end for each in trial.samples), default=trial.seconds)
    extra: Extra = {
        "offered_per_s": trial.load.rate if isinstance(trial.load, Open) else 0.0,
        "answered_per_s": len(trial.counted) / trial.span,
        "p99_ms": tail(latencies, 0.99).value if latencies else 0.0,
        "deadline_ms": 1e3 * deadline_s,
        **{each.value: float(len(trial.of(each))) for each in Outcome},
        "refused_within_ms": max(refusals, default=0.0),
        "expired_late_ms": max(misses, default=0.0),
        "client_percent": 100 * trial.client_s / wall,
    }
    extra = {key: float(f"{value:.4g}") for key, value in extra.items()}
    provider = f"denoisert, {trial.load}"
    return summary(case, provider, latencies or [0.0], setting, warm_up=0, extra=extra)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure; the first word may name another bundle, the second a file to append records to."""
    words = [Path(word) for word in (sys.argv[1:] if argv is None else argv)]
    bundle = words[0] if words else compiled(BUNDLE)
    out = words[1] if len(words) > 1 else None
    measured(cases(Size.FULL), Setting(Size.FULL, here(), bundle), out)


if __name__ == "__main__":
    main()
