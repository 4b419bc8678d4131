"""What a compilation can be told, and what it tells."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Final

from denoisert.export.lora.lora import Lora
from denoisert.runtime.engines.engine import LARGEST_BUCKET
from denoisert.runtime.engines.target import COMPILED, EngineTarget, OnnxRuntime, engine_key
from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from denoisert.export.cost import EngineNeed
    from denoisert.export.parity import Parity
    from denoisert.export.precision.report import PrecisionReport
    from denoisert.export.targets.process import Built

STEP_PX: Final = 64
"""Distance of the sizes that a range stands for."""

MOST_SIZES: Final = 256
"""Sizes of one bundle; each has a planner of its own."""

Size = tuple[int, int]
"""(height, width) of a picture in pixels."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How engines are built, for the targets that compile.

    Args:
        lanes: (least, most) evaluations of one call; a picture with guidance takes two.
        static: (height, width) of pictures whose shape gets a profile of its own with no axis left
            open, two lanes or the nearest number of `lanes`, beside those that hold every size.
        capabilities: of the GPUs to compile for, such as "8.9"; none for a portable engine.
        cache: folder that keeps engines by content, so that none is built twice; None for none.
        memory_bytes: what all compilers of engines may take together; None for what is free.
        examined: layers that the report of a half type puts back into float32, one by one, to see
            what that brings; 0 for no report.

    Raises:
        InvalidInput: lanes that do not ascend from 1, a size that is none, or a budget below 1.
    """

    lanes: tuple[int, int] = (1, LARGEST_BUCKET)
    static: tuple[Size, ...] = ()
    capabilities: tuple[str, ...] = ()
    cache: str | os.PathLike[str] | None = None
    memory_bytes: int | None = None
    examined: int = 0

    def __post_init__(self) -> None:
        if len(self.lanes) != 2 or not 1 <= self.lanes[0] <= self.lanes[1] <= LARGEST_BUCKET:
            raise InvalidInput(
                f"lanes {self.lanes} must be the least and the most evaluations of a call, from 1 "
                f"to {LARGEST_BUCKET}."
            )
        for size in self.static:
            _check_pair("static", size)
        if self.examined < 0:
            raise InvalidInput(f"examined {self.examined} must be a number of layers, 0 for none.")
        if self.memory_bytes is not None and self.memory_bytes < 1:
            raise InvalidInput(f"memory_bytes {self.memory_bytes} must be at least 1.")


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What to build.

    Args:
        targets: what to compile for, at least one, each once.
        sizes: (height, width) of pictures in pixels that one bundle serves, the default first,
            where the model can be compiled for several; by default the one it was trained at.
        tile: (height, width) of the largest latents that a decoder takes at once; by default the
            whole latent, at most 64.
        loras: LoRA files that are merged into the model.
        config: folder of the configurations and tokenizers of a model whose weights are one
            safetensors file.
        engines: how engines are built.

    Raises:
        InvalidInput: something else than targets, none or one twice, a size that is none or
            repeated, or a LoRA that is not a `Lora`.
    """

    targets: tuple[EngineTarget, ...] = (OnnxRuntime(),)
    sizes: tuple[Size, ...] = ()
    tile: tuple[int, int] | None = None
    loras: tuple[Lora, ...] = ()
    config: str | os.PathLike[str] | None = None
    engines: EngineOptions = EngineOptions()

    def __post_init__(self) -> None:
        kinds = tuple(COMPILED.values())
        unknown = [target for target in self.targets if not isinstance(target, kinds)]
        if not self.targets or unknown or len(self.keys) != len(self.targets):
            raise InvalidInput(
                f"targets {self.targets} must be some of "
                f"{', '.join(kind.__name__ for kind in kinds)}, each dtype once."
            )
        for size in self.sizes:
            _check_pair("size", size)
        if self.tile is not None:
            _check_pair("tile", self.tile)
        if len(set(self.sizes)) != len(self.sizes) or len(self.sizes) > MOST_SIZES:
            raise InvalidInput(
                f"{len(self.sizes)} sizes, {len(set(self.sizes))} of them different: give each "
                f"once, at most {MOST_SIZES}."
            )
        for lora in self.loras:
            if not isinstance(lora, Lora):
                raise InvalidInput(f"loras holds {lora!r}; give Lora(path, weight=1.0) objects.")

    @property
    def keys(self) -> dict[str, EngineTarget]:
        """What the bundle will call its engines -> their target."""
        return {engine_key(target): target for target in self.targets}


def size_range(least: Size, most: Size) -> tuple[Size, ...]:
    """Every size from one to another in steps of 64 pixels, the largest included.

    Args:
        least: (height, width) in pixels.
        most: not smaller in either.

    Raises:
        InvalidInput: sizes below 1, a range that does not ascend, or more than a bundle holds.
    """
    _check_pair("size", least)
    _check_pair("size", most)
    span = f"sizes from {least[0]}x{least[1]} to {most[0]}x{most[1]}"
    if least[0] > most[0] or least[1] > most[1]:
        raise InvalidInput(f"{span}: neither height nor width may descend.")
    axes = [range(first, last, STEP_PX) for first, last in zip(least, most, strict=True)]
    count = prod(len(axis) + 1 for axis in axes)
    if count > MOST_SIZES:
        raise InvalidInput(
            f"{span} in steps of {STEP_PX} pixels are {count}, and a bundle holds at most "
            f"{MOST_SIZES}. Give a smaller range, or single sizes."
        )
    heights, widths = ((*axis, last) for axis, last in zip(axes, most, strict=True))
    return tuple(product(heights, widths))


def _check_pair(name: str, pair: tuple[int, ...]) -> None:
    if len(pair) != 2 or min(pair) < 1:
        raise InvalidInput(f"{name} {pair!r} must be a height and a width of at least 1.")


@dataclass(frozen=True, slots=True)
class Progress:
    """One phase of a compilation has begun.

    Args:
        phase: what happens now.
        index: of the phase, from 0; equal to `count` when all is done.
        count: phases in all.
    """

    phase: str
    index: int
    count: int


@dataclass(frozen=True, slots=True)
class Compiled:
    """The bundle that is there now.

    Args:
        path: its folder.
        id: its SHA-256.
        is_cached: whether it was there already and nothing was written.
        phases_ms: phase -> milliseconds; empty when cached.
        parity: figures of the graph and of every target; empty when cached.
        notes: what the user should know, one sentence each.
        reports: of half types, where `examined` asked for them.
        built: component and target -> what its compiler took.
        expected: the same -> what it was expected to take, once its graph was known.
    """

    path: Path
    id: str
    is_cached: bool
    phases_ms: Mapping[str, float]
    parity: tuple[Parity, ...]
    notes: tuple[str, ...]
    reports: tuple[PrecisionReport, ...] = ()
    built: Mapping[str, Built] = field(default_factory=dict)
    expected: Mapping[str, EngineNeed] = field(default_factory=dict)


Report = Callable[[Progress], None]
