"""What was measured as records, which `python -m bench.report` makes a table of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from math import inf

from bench.case import Extra
from bench.peers.environment import largest, packages, size_mib
from bench.peers.measured import Measured
from bench.peers.place import Place
from bench.peers.provider import REFERENCE, Provider
from bench.peers.quality import Pictures, quality
from bench.peers.work import REQUESTS, STEPS, TASKS
from denoisert.runtime.measure.against import OURS
from denoisert.runtime.measure.percentiles import percentile
from denoisert.runtime.measure.record import Machine, Record

CASES = {
    "one": f"peers/one {{}}, {STEPS} steps",
    "mixed": f"peers/mixed {{}}, {REQUESTS} requests",
    "equal": f"peers/equal {{}}, {REQUESTS} requests",
    "cold": "peers/cold {}, start to first picture",
    "peak": "peers/peak {}, memory of one picture",
    "size": "peers/install size",
}
"""What is measured -> its case, with a place for the model's name."""


def records(
    providers: Sequence[Provider],
    found: Mapping[str, Measured],
    pictures: Mapping[str, Mapping[str, Pictures]],
    model: str,
    machine: Machine,
) -> Iterator[Record]:
    """Times and memory of every provider.

    Args:
        providers: who was measured.
        found: by provider.
        pictures: by provider and task; the reference's are the truth of all others.
        model: its name.
        machine: where.
    """
    best = fastest(providers, found)
    for provider in providers:
        mine, own = found[provider.name], pictures.get(provider.name, {})
        for task in TASKS:
            if not mine.ms[task]:
                continue
            extra = quality(own, pictures.get(REFERENCE, {}), task)
            if task != "one":
                extra["run_as"] = provider.equal if task == "equal" else provider.mixed
            if (task, provider.dtype) in best:
                ratio = percentile(mine.ms[task], 0.5) / best[task, provider.dtype]
                extra["against_our_best_of_its_dtype"] = round(ratio, 2)
            case = CASES[task].format(model)
            yield _record(case, provider, mine, mine.ms[task], machine, extra=extra)
        if mine.cold_ms:
            extra = {"first_process_ms": round(mine.cold_first_ms)}
            case = CASES["cold"].format(model)
            yield _record(case, provider, mine, mine.cold_ms, machine, extra=extra)
            extra = {"after_all_tasks_mib": round(mine.warm_peak_mib)} if mine.warm_peak_mib else {}
            case = CASES["peak"].format(model)
            yield _record(case, provider, mine, mine.peak_mib, machine, unit="MiB", extra=extra)


def fastest(
    providers: Sequence[Provider], found: Mapping[str, Measured]
) -> dict[tuple[str, str], float]:
    """(task, dtype) -> least median of ours, ms; what is slower than a peer of its dtype shows."""
    medians: dict[tuple[str, str], float] = {}
    for provider in (each for each in providers if each.peer == OURS):
        for task, values in found[provider.name].ms.items():
            if values:
                key = (task, provider.dtype)
                medians[key] = min(percentile(values, 0.5), medians.get(key, inf))
    return medians


def sizes(environments: Sequence[str], place: Place, machine: Machine) -> Iterator[Record]:
    """What every environment weighs on disk, and its heaviest packages."""
    for each in environments:
        folder = place.environment(each)
        mib = size_mib(folder)
        extra: Extra = {"load_average": round(os.getloadavg()[0], 2)}
        extra |= {"packages": packages(folder), "heaviest_mib": largest(folder)}
        who = installed_as(each)
        yield Record(CASES["size"], who, "", "MiB", mib, mib, mib, (0, 1), machine, extra)


def installed_as(environment: str) -> str:
    """What an environment is called in the records."""
    return environment.replace("denoisert_", "denoisert ").replace("_", "-")


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
