"""The half types, and weights in them: converted when they are read, one tensor at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import onnx_ir as ir

from denoisert.runtime.errors import InvalidInput

FLOAT32: Final = "float32"

HALVES: Final[Mapping[str, ir.DataType]] = {
    "float16": ir.DataType.FLOAT16,
    "bfloat16": ir.DataType.BFLOAT16,
}
"""Name of a half type -> ONNX's."""

LARGEST: Final[Mapping[ir.DataType, float]] = {
    ir.DataType.FLOAT16: (2 - 2.0**-10) * 2.0**15,
    ir.DataType.BFLOAT16: (2 - 2.0**-7) * 2.0**127,
}
"""The largest finite number of each."""


def half_type(name: str) -> ir.DataType:
    """The half type of that name.

    Raises:
        InvalidInput: no half type.
    """
    if name not in HALVES:
        raise InvalidInput(f"dtype {name!r} asked for; graphs are narrowed to {', '.join(HALVES)}.")
    return HALVES[name]


def converted(tensor: ir.TensorProtocol, half: ir.DataType, name: str) -> ir.LazyTensor:
    """A float32 tensor in a half type; finite numbers stay finite.

    Nothing is computed and no second copy is held until somebody reads it.

    Args:
        tensor: any shape; it must outlive the result.
        half: the type.
        name: of the result.
    """

    def compute() -> ir.TensorProtocol:
        array, limit = np.asarray(tensor.numpy()), LARGEST[half]
        clipped = np.where(np.isfinite(array), np.clip(array, -limit, limit), array)
        return ir.Tensor(clipped.astype(half.numpy()), dtype=half, name=name)

    return ir.LazyTensor(compute, half, ir.Shape(tensor.shape.numpy()), name=name)
