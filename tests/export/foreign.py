"""Denoisers written with plain ONNX helpers, as a stranger's exporter would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from denoisert.runtime.bundle.card import OutputSlice, TimeShape
from denoisert.runtime.layout import Part
from tests.export.networks import card_of

CHANNELS, SIZE = 3, 20

VECTOR_CARD = card_of(
    (Part("x", (CHANNELS, SIZE)),), ((OutputSlice("eps", 0, CHANNELS),),), conditions=()
)
SCALAR_CARD = card_of(
    (Part("x", (CHANNELS, SIZE)),),
    ((OutputSlice("eps", 0, CHANNELS),),),
    conditions=(),
    time_shape=TimeShape.SCALAR,
)


def denoiser(
    *,
    opset: int = 17,
    batch: int | str | None = "N",
    size: int | str = SIZE,
    time_dims: Sequence[int | str | None] = ("M",),
    time_dtype: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """eps = tanh(x W) (time + 1); W is 20 x 20 and so large enough to be external."""
    weight = np.random.default_rng(opset).standard_normal((SIZE, SIZE)).astype(np.float32) / 4
    is_vector = len(time_dims) == 1 and time_dims[0] != 1
    shape = np.array([-1, 1, 1] if is_vector else [1, 1, 1], np.int64)
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["mixed"]),
        helper.make_node("Tanh", ["mixed"], ["bounded"]),
        helper.make_node("Cast", ["time"], ["time_float"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["time_float", "one"], ["gain"]),
        helper.make_node("Reshape", ["gain", "shape"], ["gain_3d"]),
        helper.make_node("Mul", ["bounded", "gain_3d"], ["eps"]),
    ]
    graph = helper.make_graph(
        nodes,
        "stranger",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, CHANNELS, size]),
            helper.make_tensor_value_info("time", time_dtype, list(time_dims)),
        ],
        [helper.make_tensor_value_info("eps", TensorProto.FLOAT, [batch, CHANNELS, SIZE])],
        [
            numpy_helper.from_array(weight, "W"),
            numpy_helper.from_array(np.ones(1, np.float32), "one"),
            numpy_helper.from_array(shape, "shape"),
        ],
    )
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


def save(model: onnx.ModelProto, path: Path, *, location: str | None = None) -> Path:
    """Write a model; with a location its weight W lies in that file beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if location is None:
        path.write_bytes(model.SerializeToString())
        return path
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "W")
    (path.parent / location).parent.mkdir(parents=True, exist_ok=True)
    (path.parent / location).write_bytes(weight.raw_data)
    point_outside(weight, location, offset="0", length=str(len(weight.raw_data)))
    path.write_bytes(model.SerializeToString())
    return path


def point_outside(tensor: TensorProto, location: str, **entries: str) -> None:
    """Make a tensor external without writing its data."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)


def weight_of(model: onnx.ModelProto) -> TensorProto:
    """The large weight of `denoiser`."""
    return next(tensor for tensor in model.graph.initializer if tensor.name == "W")


def evaluate(model: onnx.ModelProto, x: np.ndarray, time: np.ndarray) -> np.ndarray:
    """The same formula in NumPy, float64; time has one value or one a lane."""
    weight = numpy_helper.to_array(weight_of(model)).astype(np.float64)
    return np.tanh(x.astype(np.float64) @ weight) * (np.atleast_1d(time)[:, None, None] + 1.0)
