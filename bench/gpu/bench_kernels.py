"""Device kernels beside their roofline: one launch over all slots, data in the cache or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import prod

import torch

from bench.case import Case, Run, Setting, Size, summary, timed
from bench.gpu import launch
from bench.gpu.clock import cold_ms, warm_ms
from bench.roofline import KERNELS, LATENTS, SLOTS, Kernel, case_name, philox
from bench.run import run
from denoisert.runtime.measure.percentiles import percentile
from denoisert.runtime.measure.record import Record

OURS = "denoisert"
REPEATS = 30
MAKERS: dict[str, Callable[[str, int, int], Run]] = {
    "philox normals": launch.philox,
    "gram 2 vectors": launch.gram_2,
    "gram 4 vectors": launch.gram_4,
    "rule cfg rescale": launch.rule,
    "quantile 0.995": launch.quantile,
    "lanes gather": launch.lanes,
}


def cases(size: Size) -> list[Case]:
    """Every kernel but `step`, on every latent and number of slots; TINY takes one odd size."""
    sizes = [(prod(latent), slots) for latent in LATENTS for slots in SLOTS]
    return [
        Case(case_name(kernel, *each), partial(_measure, kernel=kernel, size=each))
        for kernel in KERNELS
        if kernel.name in MAKERS
        for each in (sizes if size is Size.FULL else [(777, 2)])
    ]


def _measure(
    case: str, setting: Setting, *, kernel: Kernel, size: tuple[int, int]
) -> Iterator[Record]:
    is_device = torch.cuda.is_available()
    if setting.size is Size.FULL and not is_device:
        return  # interpreted kernels have no time
    device = "cuda" if is_device else "cpu"
    providers = {OURS: lambda: MAKERS[kernel.name](device, *size)}
    if kernel.work is philox:
        providers["torch"] = lambda: _torch_normals(device, *size)
    work = kernel.work(*size)
    for name, make in setting.chosen(providers).items():
        launched = make()
        extra: dict[str, float | str] = {"bytes": work.moved, "flops": work.flops + work.wide}
        if is_device:
            values = warm_ms(launched, REPEATS)
            cold = percentile(cold_ms(launched, REPEATS), 0.5)
            extra["cold_ms"] = round(cold, 6)
            extra["gb_per_s"] = round(work.moved / percentile(values, 0.5) / 1e6, 1)
        else:
            values = timed({name: launched}, setting)[name]
            extra["note"] = "interpreted on a CPU"
        yield summary(case, name, values, setting, warm_up=0, extra=extra)


def _torch_normals(device: str, elements: int, slots: int) -> Run:
    out = torch.empty(elements * slots, device=device)
    return out.normal_


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()
