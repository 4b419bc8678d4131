"""A LoRA file, checked from its header alone: no tensor is read and torch is not needed."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from denoisert.export.lora.adapter import Adapter, read_adapters
from denoisert.export.lora.keys import Layer, read_layers
from denoisert.export.lora.lora import Lora
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.zoo import refuse_pickle
from denoisert.runtime.bundle.weights import Tensor, read_header
from denoisert.runtime.errors import ExportError, Tampered

READABLE: Final = ("float16", "bfloat16", "float32", "float64")
"""Types of tensors that are merged."""

MOST_TENSORS: Final = 100_000
LONGEST_KEY: Final = 300
"""Characters of a key, so that an error can repeat it."""


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A file whose keys are understood; whether they fit a network is not known yet.

    Args:
        lora: file and weight.
        tensors: key -> where it lies.
        layers: stem -> the keys of one change.
        adapters: component, or "" for any -> what its configuration says about scales.
    """

    lora: Lora
    tensors: Mapping[str, Tensor]
    layers: Mapping[str, Layer]
    adapters: Mapping[str, Adapter]

    @property
    def name(self) -> str:
        """Of the file."""
        return self.lora.name

    @property
    def path(self) -> Path:
        """Where it lies."""
        return Path(self.lora.path)

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of a tensor of the file."""
        return self.tensors[key].shape


def open_lora(lora: Lora) -> LoraFile:
    """Check a LoRA's file: header, types, keys and the configuration that comes with it.

    Args:
        lora: file and weight.

    Raises:
        ExportError: no such file, pickled, damaged, or keys of another method than LoRA.
    """
    path = Path(lora.path)
    refuse_pickle(path)
    _check_place(path)
    try:
        tensors = read_header(path)
    except Tampered as error:
        raise ExportError(f"LoRA {lora.name}: {error} Download it again.") from error
    if not 0 < len(tensors) <= MOST_TENSORS:
        raise ExportError(
            f"LoRA {lora.name} has {len(tensors)} tensors; 1 to {MOST_TENSORS} are read. Is it the "
            "right file?"
        )
    _check_lengths(lora, tensors)
    layers = read_layers(lora.name, tensors)
    for key, tensor in tensors.items():
        if tensor.dtype not in READABLE:
            raise ExportError(
                f"LoRA {lora.name}: {key!a} is stored as {tensor.dtype}; {', '.join(READABLE)} are "
                "read. Save it in one of them."
            )
    return LoraFile(lora, tensors, layers, read_adapters(path))


def _check_lengths(lora: Lora, keys: Iterable[str]) -> None:
    longest = max(keys, key=len)
    if len(longest) > LONGEST_KEY:
        raise ExportError(
            f"LoRA {lora.name} has a key of {len(longest)} characters, {shown(longest)}; names of "
            f"layers have at most {LONGEST_KEY}. Is it the right file?"
        )


def _check_place(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ExportError(
            f"no LoRA can be read at {path}: {error.strerror}. Give a safetensors file."
        ) from error
    if stat.S_ISDIR(mode):
        inside = sorted(entry.name for entry in path.glob("*.safetensors"))
        raise ExportError(
            f"LoRA {path} is a folder; give one file in it: {', '.join(inside[:3]) or 'none'}."
        )
    if not stat.S_ISREG(mode):
        raise ExportError(f"LoRA {path} is no regular file. Give a safetensors file.")
