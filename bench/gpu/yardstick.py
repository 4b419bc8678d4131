"""What a copy of as many bytes takes on the same card in the same run.

The faster of torch's two ways counts: the driver's own copy, and a pointwise kernel.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from bench.gpu.clock import times
from bench.gpu.memory import Launch
from bench.work import SMALL
from denoisert.runtime.measure.percentiles import percentile

BYTES_PER_MS_PER_GB_S = 1e6

Extra = dict[str, float | str]


class Copy(NamedTuple):
    """Milliseconds of the copy, with its data in the cache and not."""

    warm: float
    cold: float


def copy(moved: float) -> Copy:
    """Time copies that move that many bytes, half of them read."""
    source = torch.randn(max(1, int(moved) // 8), device="cuda")
    target = torch.empty_like(source)
    ways = (
        Launch(lambda: target.copy_(source)),
        Launch(lambda: torch.mul(source, 1.0, out=target)),
    )
    found = [times(way) for way in ways]
    return Copy(*(min(percentile(each[kind], 0.5) for each in found) for kind in (0, 1)))


def against(moved: float, warm_ms: float, cold_ms: float, yardstick: Copy) -> Extra:
    """What a record says of bandwidth: as GB/s, and as per cent of the copy's."""
    note = "caches and launches decide" if moved < SMALL else "memory decides"
    return {
        "gb_per_s": round(moved / warm_ms / BYTES_PER_MS_PER_GB_S, 1),
        "copy_gb_per_s": round(moved / yardstick.warm / BYTES_PER_MS_PER_GB_S, 1),
        "percent_of_copy": round(100.0 * yardstick.warm / warm_ms, 1),
        "cold_ms": round(cold_ms, 6),
        "cold_percent_of_copy": round(100.0 * yardstick.cold / cold_ms, 1),
        "size": note,
    }
