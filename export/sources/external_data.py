"""External data of a foreign ONNX file: which files it names, and whether they may be read.

A file from elsewhere must not make the compiler read outside its folder: no absolute path, no "..",
no links, no ranges beyond a file's end.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from math import prod
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import onnx

from denoisert.runtime.errors import ExportError


class Reference(NamedTuple):
    """A tensor's bytes in a file beside the model."""

    tensor: str
    location: str
    offset: int
    length: int


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and all graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graphs(inner)


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of a model: weights and those in attributes."""
    for graph in graphs(model.graph):
        yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                yield from [attribute.t] if attribute.HasField("t") else []
                yield from attribute.tensors


def external_files(path: Path, model: onnx.ModelProto) -> tuple[Path, ...]:
    """The data files that a model names, each once, sorted."""
    locations = {reference.location for reference in _references(model)}
    return tuple(path.parent / location for location in sorted(locations))


def check_external(path: Path, model: onnx.ModelProto) -> None:
    """Refuse external data that is missing, short, or lies elsewhere.

    Args:
        path: the model file.
        model: parsed, not loaded.

    Raises:
        ExportError: naming tensor, file and reason.
    """
    for reference in _references(model):
        _check_location(reference)
        size = _checked_size(path.parent, reference)
        if reference.offset + reference.length > size:
            raise ExportError(
                f"{_subject(reference)} ends at byte {reference.offset + reference.length}, the "
                f"file has {size} bytes: it is truncated or belongs to another model."
            )


def _references(model: onnx.ModelProto) -> Iterator[Reference]:
    for tensor in tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield _reference(tensor)


def _reference(tensor: onnx.TensorProto) -> Reference:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    needed = _needed_bytes(tensor)
    numbers = [entries.get("offset", "0"), entries.get("length", str(needed))]
    if not all(number.isascii() and number.isdigit() and len(number) < 20 for number in numbers):
        raise ExportError(
            f"tensor {tensor.name!r} has external offset and length {numbers}; they must be whole "
            "numbers, not negative. Export the model again."
        )
    offset, length = map(int, numbers)
    if length != needed:
        raise ExportError(
            f"tensor {tensor.name!r} of shape {tuple(tensor.dims)} needs {needed} bytes and claims "
            f"{length} of external data. Export the model again."
        )
    return Reference(tensor.name, entries.get("location", ""), offset, length)


def _needed_bytes(tensor: onnx.TensorProto) -> int:
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except KeyError as error:
        raise ExportError(
            f"tensor {tensor.name!r} has the unknown data type {tensor.data_type}."
        ) from error
    if any(size < 0 for size in tensor.dims) or dtype == np.dtype(object):
        raise ExportError(
            f"tensor {tensor.name!r} of {dtype} and shape {tuple(tensor.dims)} cannot be external."
        )
    is_packed = tensor.data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4)
    bits = 4 if is_packed else 8 * int(dtype.itemsize)
    count: int = prod(tensor.dims)
    return -(-count * bits // 8)


def _check_location(reference: Reference) -> None:
    location = reference.location
    pieces = location.split("/")
    is_plain = location.isprintable() and "\\" not in location
    is_inside = not PurePosixPath(location).is_absolute() and ".." not in pieces
    if not location or not is_plain or not is_inside or set(pieces) & {"", "."}:
        raise ExportError(
            f"tensor {reference.tensor!r} has external data at {location!r}; only a plain path "
            "below the model's folder is read. Move the data there and export again."
        )


def _checked_size(folder: Path, reference: Reference) -> int:
    """Bytes of the data file, after every step of its path was seen to be no link."""
    place = folder
    pieces = reference.location.split("/")
    for piece in pieces:
        place = place / piece
        try:
            status = place.lstat()
        except OSError as error:
            raise ExportError(
                f"{_subject(reference)} cannot be read: {error.strerror}. Copy it beside the model."
            ) from error
        is_last = place == folder / reference.location
        is_fitting = stat.S_ISREG(status.st_mode) if is_last else stat.S_ISDIR(status.st_mode)
        if not is_fitting or (is_last and status.st_nlink > 1):
            raise ExportError(
                f"{_subject(reference)} is or leads through a link or special file; copy the data "
                "itself beside the model."
            )
    return status.st_size


def _subject(reference: Reference) -> str:
    return f"external data {reference.location!r} of tensor {reference.tensor!r}"
