"""How much memory and disk a compilation takes, before it takes them.

Weights are counted exactly, from headers; what comes on top was measured (docs/benchmarks.md, room
export) and rounded up. Pages of weight files that the system can take back at any time are not
counted as memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from denoisert.export.cost import EngineNeed, engine_needs
from denoisert.export.room import Room
from denoisert.runtime.engines.target import HALF, EngineTarget
from denoisert.runtime.errors import BundleError, OutOfMemory

LIBRARIES_BYTES: Final = 3 * 2**29
"""torch, diffusers, transformers and ONNX Runtime once they are imported, a traced graph, and what
allocators keep of it: 0.7 to 1.2 GB."""

SESSION: Final = 1.1
"""Memory of the weights in an ONNX Runtime session, which copies them, by their bytes: 1.02."""

SPARE_BYTES: Final = 8 * 2**20
"""Disk for graphs and manifest beside the weights."""

GIB: Final = 2**30


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of a model needs, as far as its files tell.

    Args:
        name: of the component.
        weight_bytes: in float32.
        copied_bytes: of those that are converted or changed, so that the file's pages do not do.
        activation_bytes: what one evaluation needs beside the weights; 0 where it is not known.
    """

    name: str
    weight_bytes: int
    copied_bytes: int = 0
    activation_bytes: int = 0

    @property
    def peak_bytes(self) -> int:
        """The most that it takes at a time: with its source, or in a session later."""
        held = max(self.copied_bytes, int(SESSION * self.weight_bytes))
        return held + self.activation_bytes


@dataclass(frozen=True, slots=True)
class Need:
    """What a whole compilation takes.

    Args:
        memory_bytes: at its largest part; parts come one after the other.
        disk_bytes: the new bundle, beside an old one, and what its compilers read meanwhile.
        part: the largest part.
        engines: what each compiler of an engine takes, in a process of its own.
    """

    memory_bytes: int
    disk_bytes: int
    part: str
    engines: tuple[EngineNeed, ...] = ()

    @property
    def seconds(self) -> float:
        """Of the processor, for the engines; reading, tracing and comparing come on top."""
        return sum(engine.seconds for engine in self.engines)

    def __str__(self) -> str:
        lines = [
            f"needs about {_gib(self.memory_bytes)} of memory, for {self.part}, and "
            f"{_gib(self.disk_bytes)} of disk"
        ]
        lines += [
            f"  {each.name}: {_gib(each.memory_bytes)} of memory, {_gib(each.disk_bytes)} on disk, "
            f"{each.seconds:.0f} s of the processor"
            for each in self.engines
            if each.memory_bytes
        ]
        return "\n".join(lines)


def need_of(parts: Sequence[Part], targets: Sequence[EngineTarget] = ()) -> Need:
    """What a model of these parts takes.

    Args:
        parts: at least one.
        targets: to compile for; without one it is the graphs alone.
    """
    engines = engine_needs({part.name: part.weight_bytes for part in parts}, targets)
    peaks = {part.name: part.peak_bytes for part in parts}
    peaks |= {engine.name: engine.memory_bytes for engine in engines}
    largest = max(peaks, key=lambda name: peaks[name])
    weights = sum(part.weight_bytes for part in parts)
    halves = weights // 2 if any(target.dtype in HALF for target in targets) else 0
    disk = weights + halves + sum(engine.disk_bytes for engine in engines) + SPARE_BYTES
    return Need(LIBRARIES_BYTES + peaks[largest], disk, largest, engines)


def check_room(need: Need, room: Room) -> None:
    """Refuse a compilation that would fail on the way.

    Args:
        need: what it takes.
        room: what there is.

    Raises:
        OutOfMemory: there is less memory.
        BundleError: there is less disk.
    """
    memory, disk = need.memory_bytes - room.memory_bytes, need.disk_bytes - room.disk_bytes
    if memory <= 0 and disk <= 0:
        return
    lines = [
        f"compiling needs about {_gib(need.memory_bytes)} of memory, for {need.part}, and "
        f"{_gib(need.disk_bytes)} of disk; there are {_gib(room.memory_bytes)} of memory "
        f"({room.bound}) and {_gib(room.disk_bytes)} of disk."
    ]
    if memory > 0:
        lines.append(
            f"Make {_gib(memory)} more memory free: end other programs, raise that bound, choose "
            "a smaller --size, or compile on a larger machine."
        )
    if disk > 0:
        lines.append(f"Free {_gib(disk)} more disk, or write the bundle elsewhere.")
    raise (OutOfMemory if memory > 0 else BundleError)(" ".join(lines))


def _gib(count: int) -> str:
    """Bytes for people; small models in smaller units."""
    return f"{count / GIB:.1f} GiB" if count >= GIB // 10 else f"{count / 2**20:.1f} MiB"
