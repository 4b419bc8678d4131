"""What was measured as records, which `python -m bench.report` makes a table of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from bench.case import Extra
from bench.peers.environment import largest, packages, size_mib
from bench.peers.measured import Measured
from bench.peers.place import Place
from bench.peers.provider import REFERENCE, Provider
from bench.peers.quality import Pictures, quality
from bench.peers.work import REQUESTS, STEPS, TASKS
from denoisert.runtime.measure.percentiles import percentile
from denoisert.runtime.measure.record import Machine, Record

CASES = {
    "one": f"peers/one request, {STEPS} steps",
    "mixed": f"peers/{REQUESTS} mixed requests",
    "equal": f"peers/{REQUESTS} equal requests",
    "cold": "peers/cold start to first picture",
    "peak": "peers/peak memory of one picture",
    "size": "peers/install size",
}


def records(
    providers: Sequence[Provider],
    found: Mapping[str, Measured],
    pictures: Mapping[str, Mapping[str, Pictures]],
    machine: Machine,
) -> Iterator[Record]:
    """Times and memory of every provider.

    Args:
        providers: who was measured.
        found: by provider.
        pictures: by provider and task; the reference's are the truth of all others.
        machine: where.
    """
    for provider in providers:
        mine, own = found[provider.name], pictures.get(provider.name, {})
        for task in TASKS:
            if not mine.ms[task]:
                continue
            extra = quality(own, pictures.get(REFERENCE, {}), task)
            if task != "one":
                extra["run_as"] = provider.equal if task == "equal" else provider.mixed
            yield _record(CASES[task], provider, mine, mine.ms[task], machine, extra=extra)
        if mine.cold_ms:
            extra = {"first_process_ms": round(mine.cold_first_ms)}
            yield _record(CASES["cold"], provider, mine, mine.cold_ms, machine, extra=extra)
            extra = {"after_all_tasks_mib": round(mine.warm_peak_mib)} if mine.warm_peak_mib else {}
            peak = mine.peak_mib
            yield _record(CASES["peak"], provider, mine, peak, machine, unit="MiB", extra=extra)


def sizes(peers: Sequence[str], place: Place, machine: Machine) -> Iterator[Record]:
    """What every environment weighs on disk, and its heaviest packages."""
    for peer in peers:
        folder = place.environment(peer)
        mib = size_mib(folder)
        extra: Extra = {"load_average": round(os.getloadavg()[0], 2)}
        extra |= {"packages": packages(folder), "heaviest_mib": largest(folder)}
        name = peer.replace("_", "-")
        yield Record(CASES["size"], name, "", "MiB", mib, mib, mib, (0, 1), machine, extra)


def _record(
    case: str,
    provider: Provider,
    measured: Measured,
    values: Sequence[float],
    machine: Machine,
    *,
    unit: str = "ms",
    extra: Extra,
) -> Record:
    return Record(
        case=case,
        provider=provider.name,
        dtype=provider.dtype,
        unit=unit,
        median=percentile(values, 0.5),
        p10=percentile(values, 0.1),
        p90=percentile(values, 0.9),
        repeats=(1, len(values)),
        machine=machine,
        extra={"load_average": round(percentile(measured.loads, 0.5), 2), **extra},
    )
