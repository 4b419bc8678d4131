"""What the host hands to a CUDA device during a call, counted by torch's profiler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

LAUNCHES = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch", "cudaMemcpy", "cudaMemset")
WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize")


def launches(run: Callable[[], object], device: str, ticks: int) -> dict[str, float]:
    """Launches and device kernels of one tick, and how often the host waited for the device.

    Args:
        run: one whole loop, warmed up.
        device: "cuda", or "cpu", where nothing is counted.
        ticks: of that loop; the counts are divided by it.

    Returns:
        Name -> count a tick; empty on a CPU.
    """
    if device != "cuda":
        return {}
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with profile(activities=activities) as seen:
        run()
        torch.cuda.synchronize()
    counts: Counter[str] = Counter()
    for event in seen.events():
        counts["launches"] += event.name.startswith(LAUNCHES)
        counts["host_waits"] += event.name.startswith(WAITS)
        counts["device_kernels"] += event.device_type == DeviceType.CUDA
    return {f"{name}_a_tick": round(count / ticks, 2) for name, count in counts.items()}
