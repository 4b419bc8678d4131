"""What the host hands to a CUDA device during a call, counted by torch's profiler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

LAUNCHES = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch", "cudaMemcpy", "cudaMemset")
WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize")


def launches(
    run: Callable[[], object], device: str, count: int, per: str = "a_tick"
) -> dict[str, float]:
    """Launches and device kernels of a part, and how often the host waited for the device.

    Args:
        run: some equal parts, warmed up.
        device: "cuda", or "cpu", where nothing is counted.
        count: of parts; what is counted is divided by it.
        per: name of a part.

    Returns:
        Name -> count of one part; empty on a CPU.
    """
    if device != "cuda":
        return {}
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with profile(activities=activities) as seen:
        run()
        torch.cuda.synchronize()
    counts: Counter[str] = Counter({"launches": 0, "host_waits": 0, "device_kernels": 0})
    for event in seen.events():
        counts["launches"] += event.name.startswith(LAUNCHES)
        counts["host_waits"] += event.name.startswith(WAITS)
        counts["device_kernels"] += event.device_type == DeviceType.CUDA
    return {f"{name}_{per}": round(found / count, 2) for name, found in counts.items()}
