"""Writes tensors as safetensors named by content: graphs share them and rebuilds agree."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.export.bundle.file import Chunk, make_folder, write_file
from denoisert.runtime.bundle.weights import DTYPES, METADATA, PADDING
from denoisert.runtime.errors import ExportError

ALIGNMENT = 64
NAME_DIGITS = 32

Tensors = Mapping[str, NDArray[Any]]
Spans = dict[str, tuple[int, int]]


def write_weights(folder: Path, tensors: Tensors) -> tuple[str, Spans]:
    """Write tensors into one file whose bytes depend on names, dtypes, shapes and values only.

    Every tensor starts at a multiple of 64 bytes. The format allows no gaps, so where a size does
    not fit, a small uint8 tensor named `__padding__...` stands between.

    Args:
        folder: where the file goes; made when missing.
        tensors: name -> array, in any order.

    Returns:
        The file's name, `<first 32 digits of its SHA-256>.safetensors`, and name -> (offset,
        nbytes) in bytes from the start of the file.

    Raises:
        ExportError: a dtype or name that safetensors does not hold.
        BundleError: the disk is full or refuses.
    """
    entries, order = _plan(tensors)
    header = _header(entries)
    digest = hashlib.sha256()
    for chunk in _chunks(header, order, tensors):
        digest.update(chunk)
    name = f"{digest.hexdigest()[:NAME_DIGITS]}.safetensors"
    make_folder(folder)
    if not os.path.lexists(folder / name):
        write_file(folder / name, _chunks(header, order, tensors))
    spans = {key: entries[key]["data_offsets"] for key in tensors}
    return name, {key: (len(header) + first, last - first) for key, (first, last) in spans.items()}


def _plan(tensors: Tensors) -> tuple[dict[str, dict[str, Any]], list[tuple[str, int]]]:
    """Header entries in file order, and each tensor with the padding bytes that follow it."""
    names = {numpy: name for name, (numpy, _) in DTYPES.items()}
    entries: dict[str, dict[str, Any]] = {}
    order: list[tuple[str, int]] = []
    end = 0
    for key in sorted(tensors):
        array = tensors[key]
        _check(key, array, names)
        entries[key] = _entry(names[array.dtype.name], array.shape, end, array.nbytes)
        end += array.nbytes
        gap = -end % ALIGNMENT
        if gap:
            entries[f"{PADDING}{len(order)}"] = _entry("U8", (gap,), end, gap)
            end += gap
        order.append((key, gap))
    return entries, order


def _check(key: str, array: NDArray[Any], names: Mapping[str, str]) -> None:
    if array.dtype.name not in names:
        raise ExportError(
            f"tensor {key!r} has dtype {array.dtype.name}; safetensors holds {', '.join(names)}. "
            "Cast it first."
        )
    if key == METADATA or key.startswith(PADDING):
        raise ExportError(f"tensor name {key!r} is reserved; rename it.")


def _entry(dtype: str, shape: tuple[int, ...], start: int, nbytes: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, start + nbytes]}


def _header(entries: Mapping[str, Any]) -> bytes:
    """Length and JSON, filled with spaces so that the data starts aligned."""
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _chunks(header: bytes, order: list[tuple[str, int]], tensors: Tensors) -> Iterator[Chunk]:
    yield header
    for key, gap in order:
        array = tensors[key]
        little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        yield little.reshape(-1).view(np.uint8).data
        yield bytes(gap)
