"""Cases of whole loops: time of a picture, and what of it is not the network.

Every provider computes the same pictures from the same noise, and a record says how far they lie
from the eager loop in float32, since a faster wrong picture is no result. Times end when the
latents are on the host. What is not the network is the time of a run less that of its bare network
calls; both are measured in the provider's own form.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from bench.case import Case, Run, Setting, Size, summary
from bench.loop.job import Job
from bench.loop.launches import launches
from bench.loop.provider import Making, Providers
from bench.loop.shapes.files import saved
from denoisert.runtime.measure.clock import interleaved
from denoisert.runtime.measure.percentiles import percentile
from denoisert.runtime.measure.record import Record

SHELF = Path(__file__).parents[2] / "demo" / "shapes"  # ignored by git
ROUNDS = {Size.FULL: (1, 4), Size.TINY: (0, 1)}
DTYPES = {"cuda": "float16", "cpu": "float32"}


def loop_cases(noun: str, jobs: Sequence[Job]) -> list[Case]:
    """A case for each job.

    Args:
        noun: of the file, with which the names start.
        jobs: what to compute.

    Returns:
        The cases.
    """
    return [Case(f"loop/{noun} {job.name}", partial(_measure, job=job)) for job in jobs]


def _measure(case: str, setting: Setting, *, job: Job) -> Iterator[Record]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and setting.size is Size.FULL:
        print(f"{case}: skipped, the full size wants a CUDA device", file=sys.stderr)
        return
    files = saved(job.shape, SHELF)
    providers = Providers(job, files, device, DTYPES[device])
    makers: dict[str, Making] = setting.chosen(providers.all())
    failures: list[str] = []
    with _one_thread():
        truth = providers.truth() if makers else np.empty(0)
        for name, make in makers.items():
            _release()
            try:
                yield _record(case, setting, job, (name, make, device), truth)
            except RuntimeError as error:  # the others can still be measured
                print(f"{case}: {name} failed: {error}", file=sys.stderr)
                failures.append(name)
    if failures:
        raise RuntimeError(f"{case}: {', '.join(failures)} failed, see above.")


def _record(
    case: str,
    setting: Setting,
    job: Job,
    provider: tuple[str, Making, str],
    truth: np.ndarray,
) -> Record:
    """Make one provider, measure it, and compare what it computes."""
    name, make, device = provider
    start = perf_counter()
    with make() as loop:
        found = loop.run()
        first_s = perf_counter() - start
        warm_up, repeats = ROUNDS[setting.size]
        runs = interleaved({name: loop.run}, warm_up=warm_up, repeats=repeats)[name]
        run_ms = percentile(runs, 0.5)
        network_ms = _network_ms(loop.network, device, job.steps)
        counted = launches(loop.run, device, job.steps)
    extra: dict[str, float | str] = {
        "nfe": job.lanes // job.pictures * job.steps,
        "first_picture_s": round(first_s, 3),
        "non_network_percent": round(100.0 * (1.0 - network_ms / run_ms), 2),
        "error": float(f"{np.abs(found - truth).max() / np.abs(truth).max():.3g}"),
        "where": device,
        **counted,
        **({"note": loop.note} if loop.note else {}),
    }
    values = [each / job.pictures for each in runs]
    record = summary(case, name, values, setting, warm_up=warm_up, extra=extra)
    return replace(record, dtype=DTYPES[device])


def _network_ms(call: Run, device: str, steps: int) -> float:
    """Milliseconds of as many bare network calls as a run makes, with one wait at the end."""
    call()
    _wait(device)
    start = perf_counter()
    for _ in range(steps):
        call()
    _wait(device)
    return 1e3 * (perf_counter() - start)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one CPU thread: a CUDA loop needs no more, and a toy on a shared CPU neither."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _release() -> None:
    """Give back what the provider before held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
