"""The machine of a GPU run: its records carry the name, driver and clocks of the GPU."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

from denoisert.runtime.measure.record import Machine, this_machine

ROOT = Path(__file__).parents[2]
FIELDS = ("name", "driver_version", "clocks.sm", "clocks.max.sm", "clocks.mem", "power.limit")


def gpu() -> dict[str, str]:
    """What nvidia-smi says of the first GPU; empty where there is none."""
    command = ["nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (FileNotFoundError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return {}
    lines = done.stdout.strip().splitlines()
    return dict(zip(FIELDS, lines[0].split(", "), strict=True)) if lines else {}


def machine() -> Machine:
    """This machine, named by its GPU where it has one."""
    found, host = gpu(), this_machine(ROOT, len(os.sched_getaffinity(0)))
    if not found:
        return host
    clocks = f"SM {found['clocks.sm']} of {found['clocks.max.sm']}, memory {found['clocks.mem']}"
    return replace(
        host, device=found["name"], driver=f"NVIDIA {found['driver_version']}", clocks=clocks
    )
