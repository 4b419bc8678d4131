"""Weights out of the graph: initialisers become ranges of one content-addressed safetensors file.

Graph and engines of a bundle then share the bytes, and a pass can copy a graph without copying
weights. Locations are relative to the bundle's root, from where engines load them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, LiftConstantsToInitializersPass

from denoisert.runtime.bundle.weights import DTYPES

Location = tuple[str, Mapping[str, tuple[int, int]]]
"""File relative to the root, and name -> (offset, bytes) in it."""

WriteWeights = Callable[[Mapping[str, NDArray[Any]]], Location]
"""Writes the tensors under the bundle's root."""

SMALLEST_BYTES: Final = 1024
"""Smaller tensors stay inside the graph."""

SHAREABLE: Final = frozenset(dtype for dtype, _ in DTYPES.values())
"""Dtypes that safetensors can hold; tensors of others stay inside the graph."""


def externalise(model: ir.Model, root: Path, write: WriteWeights) -> tuple[str, ...]:
    """Move the initialisers of 1 KiB and more out of a graph, in place.

    Args:
        model: its main graph's initialisers and large Constant nodes are moved.
        root: the folder that locations are relative to.
        write: stores the tensors.

    Returns:
        The files that the graph now refers to; empty if nothing was large enough.
    """
    LiftConstantsToInitializersPass(size_limit=SMALLEST_BYTES // 4)(model)
    _forget_origin(model)
    large = {name: value for name, value in model.graph.initializers.items() if _is_large(value)}
    if not large:
        return ()
    location, places = write(_Arrays(large))
    for name, value in large.items():
        _external(value, root, location, places[name])
    return (location,)


class _Arrays(Mapping[str, NDArray[Any]]):
    """Initialisers as arrays, made when they are asked for: those of a lazy tensor one by one."""

    def __init__(self, values: Mapping[str, ir.Value]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> NDArray[Any]:
        return _array(self._values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _is_large(value: ir.Value) -> bool:
    tensor = value.const_value
    if tensor is None or tensor.nbytes < SMALLEST_BYTES:
        return False
    return tensor.dtype != ir.DataType.STRING and tensor.dtype.numpy().name in SHAREABLE


def _array(value: ir.Value) -> NDArray[Any]:
    tensor = value.const_value
    return np.empty(0) if tensor is None else np.ascontiguousarray(tensor.numpy())


def _external(value: ir.Value, root: Path, location: str, place: tuple[int, int]) -> None:
    tensor = value.const_value
    if tensor is None:
        return
    offset, length = place
    value.const_value = ir.ExternalTensor(
        location,
        offset,
        length,
        tensor.dtype,
        shape=ir.Shape(tensor.shape.numpy()),
        name=str(value.name),
        base_dir=root,
    )


def _forget_origin(model: ir.Model) -> None:
    """Remove what exporters note about files and stacks of the machine they ran on."""
    ClearMetadataAndDocStringPass()(model)
    model.doc_string = None
    model.metadata_props.clear()
    for graph in model.graphs():
        values = (*graph.inputs, *graph.initializers.values())
        for value in (*values, *(output for node in graph for output in node.outputs)):
            value.metadata_props.clear()
            value.doc_string = None
