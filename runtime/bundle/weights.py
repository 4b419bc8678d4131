"""A strict reader of safetensors headers, the only weight format in a bundle.

The format is eight bytes of header length, a JSON header, then the tensors without gaps. The
runtime maps weights at offsets that the header names, so nothing in it is believed: every tensor's
range must follow from its dtype and shape, and together they must cover the data exactly once.

Source: https://github.com/huggingface/safetensors, README, "Format".
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

from denoisert.runtime.bundle.document import Plain, parse
from denoisert.runtime.bundle.typed import decode, shown
from denoisert.runtime.errors import InvalidInput, Tampered

MAX_HEADER_BYTES = 100_000_000
MAX_RANK = 64
METADATA = "__metadata__"
PADDING = "__padding__"  # tensors of this name only align the next one, they are never returned
# safetensors name -> (NumPy name, bytes of one element)
DTYPES: Mapping[str, tuple[str, int]] = {
    "BOOL": ("bool", 1),
    "U8": ("uint8", 1),
    "I8": ("int8", 1),
    "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E5M2": ("float8_e5m2", 1),
    "U16": ("uint16", 2),
    "I16": ("int16", 2),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "U32": ("uint32", 4),
    "I32": ("int32", 4),
    "F32": ("float32", 4),
    "U64": ("uint64", 8),
    "I64": ("int64", 8),
    "F64": ("float64", 8),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where one tensor lies.

    Args:
        dtype: NumPy name; "bfloat16" and "float8_..." are those of ml_dtypes.
        shape: its dimensions.
        offset: first byte, counted from the start of the file.
        nbytes: its length.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


def read_header(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Tensor name -> where it lies, in the order of the file.

    Args:
        path: a safetensors file.

    Raises:
        Tampered: truncated, or a header that is no strict JSON or does not describe the data
            exactly.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            header, start = _read_json(file, size)
            spans = [
                (name, *_span(name, entry)) for name, entry in header.items() if name != METADATA
            ]
            _check_cover([(first, last) for _, _, first, last in spans], size - start)
        except InvalidInput as error:
            raise Tampered(f"weights {os.path.basename(path)!r} cannot be used: {error}") from error
    spans.sort(key=lambda span: span[2:])
    return {
        name: Tensor(DTYPES[dtype_shape[0]][0], dtype_shape[1], start + first, last - first)
        for name, dtype_shape, first, last in spans
        if not name.startswith(PADDING)
    }


def _read_json(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """The header and where the data starts."""
    prefix = file.read(8)
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
    if length > min(size - 8, MAX_HEADER_BYTES):
        raise InvalidInput(
            f"the file has {size} bytes and claims a header of {length}; it is truncated or no "
            f"safetensors file. A header has at most {MAX_HEADER_BYTES} bytes."
        )
    text = file.read(length)
    header = parse(text, "its header", MAX_HEADER_BYTES)
    if not isinstance(header, dict) or not text.startswith(b"{"):
        raise InvalidInput("its header is no JSON object.")
    decode(Mapping[str, str], header.get(METADATA, {}), METADATA, {})
    return header, 8 + length


def _span(name: str, entry: Plain) -> tuple[tuple[str, tuple[int, ...]], int, int]:
    """(dtype, shape), first byte and last byte + 1 of one tensor, counted from the data's start."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise InvalidInput(
            f"tensor {shown(name)} needs exactly dtype, shape and data_offsets; found "
            f"{shown(entry)}."
        )
    dtype = decode(str, entry["dtype"], "dtype", {})
    shape = decode(tuple[int, ...], entry["shape"], "shape", {})
    offsets = decode(tuple[int, ...], entry["data_offsets"], "data_offsets", {})
    if dtype not in DTYPES:
        raise InvalidInput(
            f"tensor {shown(name)} has dtype {shown(dtype)}; known: {', '.join(DTYPES)}."
        )
    if len(offsets) != 2 or len(shape) > MAX_RANK or min((*shape, *offsets)) < 0:
        raise InvalidInput(
            f"tensor {shown(name)} has shape {shown(shape)}, data_offsets {shown(offsets)}."
        )
    needed = prod(shape) * DTYPES[dtype][1]
    if offsets[1] - offsets[0] != needed:
        raise InvalidInput(
            f"tensor {shown(name)} of {dtype} {shown(shape)} needs {needed} bytes and claims "
            f"{shown(offsets[1] - offsets[0])}."
        )
    return (dtype, shape), *offsets


def _check_cover(spans: list[tuple[int, int]], size: int) -> None:
    """Refuse ranges that overlap, leave holes or end elsewhere than the data."""
    end = 0
    for first, last in sorted(spans):
        if first != end:
            raise InvalidInput(
                f"tensors overlap or leave a hole at byte {min(first, end)} of the data."
            )
        end = last
    if end != size:
        raise InvalidInput(f"its tensors end at byte {end} of the data, which has {size} bytes.")
