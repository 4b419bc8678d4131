"""What a compilation can be told, and what it tells."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from denoisert.export.lora.lora import Lora
from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from denoisert.export.parity import Parity

TARGETS: Final = ("onnxruntime",)
"""Names of the targets that this version builds."""


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What to build.

    Args:
        targets: names out of `TARGETS`, at least one, each once.
        sizes: (height, width) of pictures in pixels that one bundle serves, the default first,
            where the model can be compiled for several; by default the one it was trained at.
        tile: (height, width) of the largest latents that a decoder takes at once; by default the
            whole latent, at most 64.
        loras: LoRA files that are merged into the model.
        config: folder of the configurations and tokenizers of a model whose weights are one
            safetensors file.

    Raises:
        InvalidInput: an unknown, repeated or missing target, a size that is none or repeated, or a
            LoRA that is not a `Lora`.
    """

    targets: tuple[str, ...] = ("onnxruntime",)
    sizes: tuple[tuple[int, int], ...] = ()
    tile: tuple[int, int] | None = None
    loras: tuple[Lora, ...] = ()
    config: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.targets if name not in TARGETS]
        if not self.targets or unknown or len(set(self.targets)) != len(self.targets):
            raise InvalidInput(
                f"targets {self.targets} must be some of {', '.join(TARGETS)}, each once."
            )
        for size in self.sizes:
            _check_pair("size", size)
        if self.tile is not None:
            _check_pair("tile", self.tile)
        if len(set(self.sizes)) != len(self.sizes):
            raise InvalidInput(f"sizes {self.sizes} repeat; give each size once.")
        for lora in self.loras:
            if not isinstance(lora, Lora):
                raise InvalidInput(f"loras holds {lora!r}; give Lora(path, weight=1.0) objects.")


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
    """

    path: Path
    id: str
    is_cached: bool
    phases_ms: Mapping[str, float]
    parity: tuple[Parity, ...]
    notes: tuple[str, ...]


Report = Callable[[Progress], None]
