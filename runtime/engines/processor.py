"""The processor of this machine, as the kernel describes it, and what it computes in."""

from __future__ import annotations

from pathlib import Path
from typing import Final

INFO: Final = Path("/proc/cpuinfo")
HALF: Final = ("avx512_bf16", "amx_bf16")
WHOLE: Final = ("avx_vnni", "avx512_vnni", "amx_int8")

OF_INTEREST: Final = ("avx2", "avx512f", *WHOLE, *HALF)
"""Those that decide how fast a network runs."""


def processor_facts() -> dict[str, str]:
    """Name -> value of the first processor; empty where the system does not say."""
    lines = INFO.read_text().splitlines() if INFO.exists() else []
    pairs = (line.partition(":") for line in lines)
    found: dict[str, str] = {}
    for key, _, value in pairs:
        found.setdefault(key.strip(), value.strip())
    return found


def instructions() -> tuple[str, ...]:
    """Those of interest that the processor has."""
    found = set(processor_facts().get("flags", "").split())
    return tuple(name for name in OF_INTEREST if name in found)
