"""Weights beside a graph: ranges of files that are mapped, never read as a whole.

A location comes from the graph and is not believed: it must stay inside the folder of weights and
inside its file.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from math import prod
from pathlib import Path

import torch

from denoisert.runtime.errors import BuildError


class ExternalFiles:
    """The files of one folder, each mapped once, copy on write.

    Args:
        root: folder that locations are relative to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._maps: dict[str, mmap.mmap] = {}

    def tensor(
        self, name: str, entries: Mapping[str, str], dtype: torch.dtype, shape: tuple[int, ...]
    ) -> torch.Tensor:
        """A weight that shares the file's pages.

        Args:
            name: of the weight, for messages.
            entries: location, offset and length as the graph gives them.
            dtype: of an element.
            shape: of the tensor.

        Raises:
            BuildError: the location leaves the folder, the range leaves the file, or its length is
                not that of the shape.
        """
        location = entries.get("location", "")
        offset, length = _number(name, entries, "offset"), _number(name, entries, "length")
        needed = prod(shape) * dtype.itemsize
        if "length" in entries and length != needed:
            raise BuildError(
                f"weight {name!r} of {dtype} {shape} needs {needed} bytes, the graph gives it "
                f"{length}. Compile the model again."
            )
        if needed == 0:
            return torch.empty(shape, dtype=dtype)
        mapped = self._map(name, location)
        if offset < 0 or offset + needed > len(mapped):
            raise BuildError(
                f"weight {name!r} lies at bytes {offset} to {offset + needed} of {location!r}, "
                f"which has {len(mapped)}. The file is truncated; copy the bundle again."
            )
        return _view(mapped, offset, dtype, shape)

    def _map(self, name: str, location: str) -> mmap.mmap:
        found = self._maps.get(location)
        if found is not None:
            return found
        path = (self._root / location).resolve()
        if not location or not path.is_relative_to(self._root):
            raise BuildError(
                f"weight {name!r} is kept at {location!r}, outside the folder of weights. Weights "
                "lie inside the bundle."
            )
        try:
            with open(path, "rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except (OSError, ValueError) as error:
            raise BuildError(
                f"weight {name!r} is kept in {location!r}, which cannot be mapped: {error}. Copy "
                "the bundle again."
            ) from error
        self._maps[location] = mapped
        return mapped


def _number(name: str, entries: Mapping[str, str], key: str) -> int:
    text = entries.get(key, "0")
    if not text.isdecimal():
        raise BuildError(f"weight {name!r} has {key} {text!r}, no number. Compile it again.")
    return int(text)


def _view(
    mapped: mmap.mmap, offset: int, dtype: torch.dtype, shape: tuple[int, ...]
) -> torch.Tensor:
    """The mapped bytes as a tensor; a range that is not aligned to its elements is copied."""
    count = prod(shape)
    if offset % dtype.itemsize == 0:
        return torch.frombuffer(mapped, dtype=dtype, count=count, offset=offset).view(shape)
    raw = torch.frombuffer(mapped, dtype=torch.uint8, count=count * dtype.itemsize, offset=offset)
    return raw.clone().view(dtype).view(shape)
