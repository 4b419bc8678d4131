"""The same seed on a GPU and on a CPU: how far apart the latents of one request are in float32.

ONNX Runtime and NumPy on one side; torch and our kernels on the other, on CUDA where there is a
card, interpreted where the process interprets kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from bench.case import Case, Setting, Size, summary
from bench.loop import schedulers
from bench.loop.job import Job
from bench.loop.ours import Loop
from bench.loop.places import INTERPRETED, OURS, Places
from bench.loop.shapes.dit import TINY_DIT
from bench.loop.shapes.files import Saved, saved
from bench.loop.shapes.unet import TINY_SD15, TINY_SDXL
from bench.run import run
from denoisert.runtime.measure.record import Record
from denoisert.runtime.sampling.solvers import DDIM, DPMpp2M, Euler, EulerAncestral

STEPS, GUIDANCE, PICTURES = 4, 4.0, 2
JOBS = (
    (TINY_DIT, DDIM(), schedulers.DDIM),
    (TINY_DIT, EulerAncestral(), schedulers.EulerAncestral),
    (TINY_SD15, DPMpp2M(), schedulers.DPMpp2M),
    (TINY_SDXL, Euler(), schedulers.Euler),
)


def cases(size: Size) -> list[Case]:
    """Toys of every family, one with noise in every step; TINY takes two of them."""
    steps, taken = (STEPS, JOBS) if size is Size.FULL else (2, JOBS[1:3])
    jobs = [Job(*each, steps, GUIDANCE, PICTURES) for each in taken]
    return [Case(f"loop/seed {job.name}", partial(_measure, job=job)) for job in jobs]


def _measure(case: str, setting: Setting, *, job: Job) -> Iterator[Record]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    files = saved(job.shape, setting.shelf)
    places = Places(files, device, "float32")
    name = OURS if device == "cuda" else INTERPRETED
    if name not in places.names or not setting.chosen({OURS: lambda: None}):
        return
    here = _latents(job, places, name)
    there = _latents(job, *_host(files))
    apart = float(np.abs(here - there).max() / np.abs(there).max())
    extra: dict[str, float | str] = {
        "where": device,
        "is_equal": str(np.array_equal(here, there)).lower(),
    }
    yield summary(case, OURS, [apart], setting, unit="relative", warm_up=0, extra=extra)


def _host(files: Saved) -> tuple[Places, str]:
    return Places(files, "cpu", "float32"), OURS


def _latents(job: Job, places: Places, name: str) -> np.ndarray:
    loop = Loop(job, places.place(name))
    try:
        return loop.run()
    finally:
        loop.close()
        places.close()


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()
