"""The NVIDIA driver: which GPUs there are, asked before any library that crashes without one."""

from __future__ import annotations

import ctypes
from typing import Final

LIBRARY: Final = "libcuda.so.1"
MAJOR: Final = 75
"""cuDeviceGetAttribute: the major number of the compute capability; the minor one follows."""


def capabilities() -> tuple[str, ...]:
    """Compute capability of every GPU that the driver shows, for example "8.9"; none without it."""
    try:
        driver = ctypes.CDLL(LIBRARY)
    except OSError:
        return ()
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return ()
    return tuple(_capability(driver, number) for number in range(count.value))


def _capability(driver: ctypes.CDLL, number: int) -> str:
    device, value, digits = ctypes.c_int(), ctypes.c_int(), []
    driver.cuDeviceGet(ctypes.byref(device), number)
    for attribute in (MAJOR, MAJOR + 1):
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        digits.append(value.value)
    return f"{digits[0]}.{digits[1]}"
