"""Names of dtypes: ONNX's numbers, NumPy's words and torch's objects."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from onnx import TensorProto

from denoisert.runtime.errors import BuildError

NAMES: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "float32": torch.float32,
        "float16": torch.float16,
        "bfloat16": torch.bfloat16,
        "float64": torch.float64,
        "int64": torch.int64,
        "int32": torch.int32,
        "int16": torch.int16,
        "int8": torch.int8,
        "uint8": torch.uint8,
        "bool": torch.bool,
    }
)
"""NumPy name, as ports have it -> torch dtype."""

NUMBERS: Mapping[int, str] = MappingProxyType(
    {
        int(TensorProto.FLOAT): "float32",
        int(TensorProto.FLOAT16): "float16",
        int(TensorProto.BFLOAT16): "bfloat16",
        int(TensorProto.DOUBLE): "float64",
        int(TensorProto.INT64): "int64",
        int(TensorProto.INT32): "int32",
        int(TensorProto.INT16): "int16",
        int(TensorProto.INT8): "int8",
        int(TensorProto.UINT8): "uint8",
        int(TensorProto.BOOL): "bool",
    }
)
"""ONNX element type -> NumPy name."""


def dtype_name(number: int, owner: str) -> str:
    """The NumPy name of an ONNX element type.

    Args:
        number: the element type.
        owner: what has it, for the message.

    Raises:
        BuildError: the torch engine does not know the type.
    """
    name = NUMBERS.get(number)
    if name is None:
        raise BuildError(
            f"{owner} has the ONNX element type {number}; the torch engine knows "
            f"{', '.join(NUMBERS.values())}. Export the graph in one of these."
        )
    return name


def name_of(dtype: torch.dtype) -> str:
    """The NumPy name of a torch dtype."""
    return str(dtype).removeprefix("torch.")
