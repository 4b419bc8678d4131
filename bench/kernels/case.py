"""Cases of kernels: time against a specification and eager torch, bandwidth against a plain copy.

A latent of one picture fits a cache, so the copy that is the yardstick moves as many bytes as the
kernel does; 100 % means that the kernel costs as little as copying its own data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from bench.case import Case, Run, Setting, Size, summary, timed
from denoisert.runtime.measure.percentiles import percentile
from denoisert.runtime.measure.record import Record

COPY = "copy"
BYTES_PER_MS_PER_GB_S = 1e6

Providers = Callable[[int], Mapping[str, Run]]


def kernel_cases(
    op: str, size: Size, providers: Providers, moved_bytes: Callable[[int], int]
) -> list[Case]:
    """One case for digits (256 elements) and one for a 4x64x64 latent.

    Args:
        op: the kernel's folder, then what it is asked.
        size: TINY measures digits only.
        providers: elements -> name -> one call.
        moved_bytes: elements -> bytes that the op must read and write at least.

    Returns:
        The cases.
    """
    elements = (256, 4 * 64 * 64) if size is Size.FULL else (256,)
    return [_kernel_case(f"kernels/{op} {n}", n, providers, moved_bytes(n)) for n in elements]


def _kernel_case(name: str, elements: int, providers: Providers, moved: int) -> Case:
    def measure(case: str, setting: Setting) -> Iterator[Record]:
        runs = setting.chosen(providers(elements))
        if not runs:
            return
        # The yardstick has a turn in every round, whatever provider is asked for.
        every = Setting(setting.size, setting.machine, setting.bundle)
        times = timed({**runs, COPY: _copy(moved)}, every)
        peak = moved / percentile(times.pop(COPY), 0.5) / BYTES_PER_MS_PER_GB_S
        for provider, values in times.items():
            rate = moved / percentile(values, 0.5) / BYTES_PER_MS_PER_GB_S
            extra: dict[str, float | str] = {
                "bytes": moved,
                "gb_per_s": round(rate, 3),
                "copy_gb_per_s": round(peak, 3),
                "percent_of_copy": round(100.0 * rate / peak, 2),
            }
            yield summary(case, provider, values, setting, extra=extra)

    return Case(name, measure)


def _copy(moved: int) -> Run:
    """A copy that moves that many bytes, half of them read."""
    source = np.ones(max(1, moved // 8), np.float32)
    target = np.zeros_like(source)
    return lambda: np.copyto(target, source)
