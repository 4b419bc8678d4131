"""Cases of whole loops: time of a picture, and what of it is not the network.

Every provider computes the same pictures from the same noise, and a record says how far they lie
from the eager loop in float32, since a faster wrong picture is no result. Times end when the
latents are on the host. What is not the network is the time of a run less that of its bare network
calls; both are measured in the provider's own form, in turns. A first picture counts from nothing
but the written weights: loading them is in it for the first provider of a network, compiling and
capturing for all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from time import perf_counter

import numpy as np
import torch

from bench.case import Case, Extra, Run, Setting, Size, summary
from bench.failures import Failures
from bench.loop.job import Job
from bench.loop.launches import launches
from bench.loop.loaded import DTYPES, Shelf, release
from bench.loop.places import EAGER, OURS
from bench.loop.provider import Making, Provider, Providers
from bench.loop.ratio import ROUNDS, tick_launches, tick_to_forward
from denoisert.runtime.measure.clock import interleaved
from denoisert.runtime.measure.percentiles import percentile
from denoisert.runtime.measure.record import Record

BUDGET_S = 3.0  # of the rounds of one provider, so that a large network is measured less often
MOST_ROUNDS = 10


def loop_cases(noun: str, jobs: Sequence[Job]) -> list[Case]:
    """A case for each job.

    Args:
        noun: of the file, with which the names start.
        jobs: what to compute.

    Returns:
        The cases.
    """
    shelf = Shelf("cuda" if torch.cuda.is_available() else "cpu")
    return [
        Case(f"loop/{noun} {job.name}", partial(_measure, job=job, shelf=shelf)) for job in jobs
    ]


def _measure(case: str, setting: Setting, *, job: Job, shelf: Shelf) -> Iterator[Record]:
    if setting.size is Size.FULL and not torch.cuda.is_available():
        print(f"{case}: skipped, the full size wants a CUDA device", file=sys.stderr)
        return
    providers = Providers(job, shelf.loaded(job.shape, setting))
    makers: dict[str, Making] = setting.chosen(providers.all())
    failures, pictures = Failures(case), {}
    with _measuring():
        if makers:
            pictures["truth"] = providers.truth()
        for name, make in makers.items():
            release()
            with failures.of(name):
                yield _record((case, name), setting, job, make, pictures)
    failures.told()


def _record(
    names: tuple[str, str],
    setting: Setting,
    job: Job,
    make: Making,
    pictures: dict[str, np.ndarray],
) -> Record:
    """Make one provider, measure it, and compare what it computes."""
    start, device = perf_counter(), "cuda" if torch.cuda.is_available() else "cpu"
    with make() as provider:
        found = pictures[names[1]] = provider.run()
        first_s = perf_counter() - start
        runs, networks = _times(provider, job.steps, setting.size, device)
        extra = _tick(provider, job, setting.size, device)
    run_ms, network_ms = (percentile(each, 0.5) for each in (runs, networks))
    truth = pictures["truth"]
    extra |= {
        "nfe": job.lanes // job.pictures * job.steps,
        "first_picture_s": round(first_s, 3),
        "non_network_percent": round(100.0 * (1.0 - network_ms / run_ms), 2),
        "error": float(f"{np.abs(found[:1] - truth).max() / np.abs(truth).max():.3g}"),
        "where": device,
        **({"note": provider.note} if provider.note else {}),
    }
    if names[1] == EAGER and OURS in pictures:
        extra["captured_equals_eager"] = str(np.array_equal(found, pictures[OURS])).lower()
    values = [each / job.pictures for each in runs]
    return replace(summary(*names, values, setting, warm_up=1, extra=extra), dtype=DTYPES[device])


def _times(
    provider: Provider, steps: int, size: Size, device: str
) -> tuple[list[float], list[float]]:
    """Milliseconds of runs, and of as many bare network calls as a run makes, in turns."""

    def network() -> None:
        for _ in range(steps):
            provider.network()
        if device == "cuda":
            torch.cuda.synchronize()

    provider.network()  # the first call of a network captures it
    both: dict[str, Run] = {"run": provider.run, "network": network}
    first = interleaved(both, warm_up=0, repeats=1)
    if size is Size.TINY:
        return first["run"], first["network"]
    repeats = int(1e3 * BUDGET_S / sum(values[0] for values in first.values()))
    times = interleaved(both, warm_up=0, repeats=max(1, min(MOST_ROUNDS, repeats)))
    return times["run"], times["network"]


def _tick(provider: Provider, job: Job, size: Size, device: str) -> Extra:
    """Launches of a tick, and of ours its time against that of its forward."""
    if provider.loop is None:
        return {**launches(provider.run, device, job.steps)}
    found: Extra = {**tick_launches(provider.loop, device)}
    if job.pictures == 1:
        rounds = ROUNDS if size is Size.FULL else 1
        found |= tick_to_forward(provider.loop, device, rounds)
    return found


@contextmanager
def _measuring() -> Iterator[None]:
    """Torch on one CPU thread, which is all that a CUDA loop needs; no TF32, as in our engine.

    Our engine lets cuDNN time its algorithms, so the loops that we compare with may, too.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)
