"""A shape as plain torch, for the loops that we compare with.

The graph becomes a `torch.fx.GraphModule`: the calls that a module written by hand would make, in
the same order, so eager execution costs no more than it would there and `torch.compile` takes it
whole. A matrix product and its bias are one `linear`, and x sigmoid(x) is one `silu`.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import getitem
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, fx
from torch.nn import functional

from bench.loop.shapes.files import Saved
from bench.loop.shapes.graph import WEIGHTS

Attributes = dict[str, Any]


def network(files: Saved, device: str, dtype: torch.dtype) -> fx.GraphModule:
    """Load a written shape.

    Args:
        files: what `saved` returned.
        device: where the weights go.
        dtype: of the weights; what comes in beside them keeps its own.

    Returns:
        A module that takes the graph's inputs by name and returns its prediction.
    """
    model = onnx.load(str(files.graph), load_external_data=False).graph
    module, graph = torch.nn.Module(), fx.Graph()
    values = {port.name: graph.placeholder(port.name) for port in model.input}
    data = np.memmap(files.root / WEIGHTS, np.float32, "c")  # torch takes no read-only memory
    matrices = {node.input[1] for node in model.node if node.op_type == "MatMul"}
    for tensor in model.initializer:
        loaded = _loaded(tensor, data, device, dtype)
        loaded = loaded.T.contiguous() if tensor.name in matrices else loaded
        name = f"value_{len(values)}"
        module.register_buffer(name, loaded)
        values[tensor.name] = graph.get_attr(name)
    _translate(model, graph, values)
    graph.output(values[model.output[0].name])
    graph.eliminate_dead_code()  # the parts of what became one call
    return fx.GraphModule(module, graph).eval()


def _loaded(tensor: onnx.TensorProto, data: np.ndarray, device: str, dtype: torch.dtype) -> Tensor:
    """A weight in the network's dtype, or a constant in its own."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        array = numpy_helper.to_array(tensor)
        # Sizes are read on the host; a scalar on the host is no launch.
        is_small = array.dtype == np.int64 or array.ndim == 0
        return torch.from_numpy(array.copy()).to("cpu" if is_small else device)
    first = int({entry.key: entry.value for entry in tensor.external_data}["offset"]) // 4
    values = data[first : first + int(np.prod(tensor.dims))].reshape(tensor.dims)
    # First to the device, which converts faster; a network on the CPU keeps no mapped pages.
    return torch.from_numpy(values).to(device).to(dtype, copy=True)


def _translate(model: onnx.GraphProto, graph: fx.Graph, values: dict[str, fx.Node]) -> None:
    constants = {
        tensor.name: numpy_helper.to_array(tensor).tolist()
        for tensor in model.initializer
        if tensor.data_type == onnx.TensorProto.INT64
    }
    fused = _fused(model)
    for node in model.node:
        arguments = [constants.get(name, values.get(name)) for name in node.input]
        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        if node.name in fused:
            values[node.output[0]] = graph.call_function(*_call(fused[node.name], values))
            continue
        made = graph.call_function(CALLS[node.op_type], (*arguments,), attributes)
        for index, name in enumerate(node.output):
            is_one = len(node.output) == 1
            values[name] = made if is_one else graph.call_function(getitem, (made, index))


def _fused(model: onnx.GraphProto) -> dict[str, tuple[Callable[..., Tensor], tuple[str, ...]]]:
    """Node -> the one call that stands for it and the node before it."""
    made = {name: node for node in model.node for name in node.output}
    weights = {tensor.name for tensor in model.initializer}
    found: dict[str, tuple[Callable[..., Tensor], tuple[str, ...]]] = {}
    for node in model.node:
        first, second = (made.get(name) for name in (*node.input[:2], "", "")[:2])
        has_bias = node.op_type == "Add" and node.input[1] in weights
        has_gate = node.op_type == "Mul" and second is not None and second.op_type == "Sigmoid"
        if has_bias and first is not None and first.op_type == "MatMul":
            found[node.name] = (_linear, (*first.input, node.input[1]))
        elif has_gate and second is not None and second.input[0] == node.input[0]:
            found[node.name] = (functional.silu, (node.input[0],))
    return found


def _call(
    fused: tuple[Callable[..., Tensor], tuple[str, ...]], values: dict[str, fx.Node]
) -> tuple[Callable[..., Tensor], tuple[fx.Node, ...]]:
    function, names = fused
    return function, tuple(values[name] for name in names)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return functional.linear(x.to(weight.dtype), weight, bias)


def _conv(x: Tensor, weight: Tensor, bias: Tensor, **how: list[int]) -> Tensor:
    pads = how.get("pads", [0])
    return functional.conv2d(x.to(weight.dtype), weight, bias, how["strides"], pads[0])


def _attention(q: Tensor, k: Tensor, v: Tensor, q_num_heads: int, kv_num_heads: int) -> Tensor:
    heads = (each.unflatten(-1, (q_num_heads, -1)).transpose(1, 2) for each in (q, k, v))
    return functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)


def _layer_norm(
    x: Tensor, scale: Tensor, bias: Tensor | None = None, *, axis: int, epsilon: float
) -> Tensor:
    return functional.layer_norm(x, x.shape[axis:], scale.to(x.dtype), bias, epsilon)


def _group_norm(x: Tensor, scale: Tensor, bias: Tensor, num_groups: int, epsilon: float) -> Tensor:
    return functional.group_norm(x, num_groups, scale, bias, epsilon)


def _concat(*tensors: Tensor, axis: int) -> Tensor:
    return torch.cat(tensors, axis)


def _gather(table: Tensor, index: Tensor, axis: int) -> Tensor:
    return functional.embedding(index, table)


def _gelu(x: Tensor, approximate: bytes = b"none") -> Tensor:
    return functional.gelu(x, approximate=approximate.decode())


def _identity(x: Tensor) -> Tensor:
    return x


def _split(x: Tensor, axis: int, num_outputs: int) -> tuple[Tensor, ...]:
    return x.chunk(num_outputs, axis)


def _transpose(x: Tensor, perm: list[int]) -> Tensor:
    return x.permute(perm)


def _reshape(x: Tensor, sizes: list[int]) -> Tensor:
    return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)])


def _unsqueeze(x: Tensor, axes: list[int]) -> Tensor:
    for axis in axes:
        x = x.unsqueeze(axis)
    return x


def _resize(x: Tensor, region: None, scales: Tensor, **how: bytes) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


CALLS: dict[str, Callable[..., Any]] = {
    "Add": torch.add,
    "Attention": _attention,
    "Concat": _concat,
    "Conv": _conv,
    "Cos": torch.cos,
    "Gather": _gather,
    "Gelu": _gelu,
    "GroupNormalization": _group_norm,
    "Identity": _identity,
    "LayerNormalization": _layer_norm,
    "MatMul": _linear,
    "Mul": torch.mul,
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": torch.sigmoid,
    "Sin": torch.sin,
    "Split": _split,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
