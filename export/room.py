"""How much memory and disk there is for a compilation: of the machine, of its container, of ours.

The smallest bound counts, and which one it is.
"""

from __future__ import annotations

import resource
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
CONTROL: Final = Path("/sys/fs/cgroup")
UNBOUNDED: Final = 2**60
"""Control groups write a number as large as this for no bound."""

LIBRARY_ADDRESSES: Final = 2 * 2**30
"""Addresses that the libraries take, most of them for code."""

ADDRESSES: Final = 2
"""Addresses for each byte of memory: weights are mapped beside what is made of them."""

MACHINE: Final = "free on this machine"


@dataclass(frozen=True, slots=True)
class Room:
    """What a compilation may take.

    Args:
        memory_bytes: that can still be allocated.
        disk_bytes: that can still be written.
        bound: what bounds the memory, for people.
    """

    memory_bytes: int
    disk_bytes: int
    bound: str = MACHINE

    @classmethod
    def beside(cls, out: Path) -> Room:
        """What there is now.

        Args:
            out: where the bundle is to lie; its folder may not exist yet.
        """
        memory, bound = min(_bounds(PROC, CONTROL))
        return cls(max(0, memory), _free_bytes(out), bound)


def _free_bytes(out: Path) -> int:
    place = out.absolute()
    while not place.is_dir():
        place = place.parent
    return shutil.disk_usage(place).free


def _bounds(proc: Path, control: Path) -> Iterator[tuple[int, str]]:
    """Bytes that are free under every bound, and its name."""
    yield sys.maxsize, MACHINE
    yield from _machine(proc)
    yield from _container(proc, control)
    yield from _own_limits(proc)


def _machine(proc: Path) -> Iterator[tuple[int, str]]:
    free = _table(proc / "meminfo").get("MemAvailable")
    if free is not None:
        yield free, MACHINE


def _own_limits(proc: Path) -> Iterator[tuple[int, str]]:
    """Of this process; addresses are also taken by libraries and by files that are mapped."""
    used = _table(proc / "self" / "status")
    data, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if data != resource.RLIM_INFINITY:
        yield data - used.get("VmData", 0), "left under RLIMIT_DATA, ulimit -d"
    addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
    if addresses != resource.RLIM_INFINITY:
        left = addresses - used.get("VmSize", 0) - LIBRARY_ADDRESSES
        yield left // ADDRESSES, "left under RLIMIT_AS, ulimit -v"


def _container(proc: Path, control: Path) -> Iterator[tuple[int, str]]:
    """Of the process's control groups, the outer ones included; pages of files can be taken back.

    Source: the Linux kernel's documentation, admin-guide/cgroup-v2 and cgroup-v1/memory.
    """
    for line in _lines(proc / "self" / "cgroup"):
        _, names, path = line.split(":", 2)
        if names not in ("", "memory"):
            continue
        root = control / names
        most, used = ("memory.max", "memory.current")
        if names:
            most, used = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        place = root / path.lstrip("/")
        for folder in (place, *place.parents):
            if not folder.is_relative_to(root):
                break
            limit, taken = _number(folder / most), _number(folder / used)
            if limit is not None and taken is not None and limit < UNBOUNDED:
                yield limit - taken + _pages(folder), f"left in the control group {path}"


def _pages(folder: Path) -> int:
    """Pages of files that a control group holds and can give back."""
    stat = dict(line.split(maxsplit=1) for line in _lines(folder / "memory.stat"))
    key = "total_inactive_file" if "total_inactive_file" in stat else "inactive_file"
    return int(stat.get(key, 0))


def _table(path: Path) -> dict[str, int]:
    """Bytes by key of a file that counts in kB."""
    pairs = (line.split(":", 1) for line in _lines(path) if ":" in line)
    return {
        key: 1024 * int(value.split()[0]) for key, value in pairs if value.strip().endswith("kB")
    }


def _number(path: Path) -> int | None:
    """A file's only number; None where it is missing or says "max"."""
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdecimal() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
