"""Device kernels beside their roofline, a copy and torch: one launch over all slots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from math import prod

import torch

from bench.case import Case, Setting, Size, summary, timed
from bench.failures import Failures
from bench.gpu.clock import times
from bench.gpu.makers import WIDE, Maker, makers
from bench.gpu.memory import Launch
from bench.gpu.yardstick import Copy, Extra, against, copy
from bench.loop.launches import launches
from bench.run import run
from bench.work import KERNELS, LATENTS, SLOTS, Kernel, case_name
from denoisert.runtime.measure.percentiles import percentile
from denoisert.runtime.measure.record import Record

SIZES = [(prod(latent), slots) for latent in reversed(LATENTS) for slots in SLOTS]
TINY = (777, 2)  # no block divides it
COUNTED = SIZES[-2:]  # where launches are counted; how many there are depends on no size


def cases(size: Size) -> list[Case]:
    """Every kernel on every latent and number of slots, the largest first; TINY takes one size."""
    sizes = SIZES if size is Size.FULL else [TINY]
    return [
        Case(case_name(kernel, *each), partial(_measure, kernel=kernel, size=each))
        for each in sizes
        for kernel in KERNELS
    ]


def _measure(
    case: str, setting: Setting, *, kernel: Kernel, size: tuple[int, int]
) -> Iterator[Record]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if setting.size is Size.FULL and device == "cpu":
        return  # interpreted kernels have no time
    found: dict[str, Maker] = setting.chosen(makers(kernel.name, device))
    yardstick = copy(kernel.work(*size).moved) if found and device == "cuda" else None
    is_short = kernel.name.startswith("step") and not kernel.name.endswith(WIDE)
    failures = Failures(case)
    for name, make in found.items():
        with failures.of(name):
            record = _record((case, name), setting, make(device, *size), (kernel, size), yardstick)
            yield replace(record, dtype="float16" if is_short else "float32")
        torch.cuda.empty_cache()
    failures.told()


def _record(
    names: tuple[str, str],
    setting: Setting,
    launch: Launch,
    what: tuple[Kernel, tuple[int, int]],
    yardstick: Copy | None,
) -> Record:
    kernel, size = what
    work = kernel.work(*size)
    extra: Extra = {"bytes": work.moved, "flops": work.flops + work.wide}
    if yardstick is None:
        values = timed({names[1]: launch.run}, setting)[names[1]]
        note = "on a CPU, kernels interpreted; torch.compile with backend 'eager'"
        return summary(*names, values, setting, warm_up=0, extra={**extra, "note": note})
    found = times(launch)
    medians = percentile(found.warm, 0.5), percentile(found.cold, 0.5)
    extra |= against(work.moved, *medians, yardstick)
    extra["launched_ms"] = round(found.launched, 6)
    if size in COUNTED:
        launch.reset()
        with torch.inference_mode():  # as it was timed, else it would be compiled again
            extra |= launches(launch.run, "cuda", 1, "a_call")
    return summary(*names, found.warm, setting, warm_up=0, extra=extra)


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()
