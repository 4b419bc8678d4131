"""Small networks as ONNX files, and buffers for them."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from denoisert.runtime.engines.torch.dtypes import NAMES
from denoisert.runtime.engines.torch.engine import TorchEngine

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def node(op, inputs, outputs, **attributes):
    """A node whose name is that of its first output."""
    names = (inputs.split(), outputs.split())
    return helper.make_node(op, *names, name=outputs.split()[0], **attributes)


def model_of(nodes, inputs, outputs, weights=None, opset=23):
    """A model of ports given as name -> dimensions; float32, or int64 where it starts with "i_"."""
    value = helper.make_tensor_value_info

    def ports(shapes):
        kinds = {name: INT64 if name.startswith("i_") else FLOAT for name in shapes}
        return [value(name, kinds[name], dims) for name, dims in shapes.items()]

    arrays = {name: np.asarray(array) for name, array in (weights or {}).items()}
    graph = helper.make_graph(
        nodes,
        "graph",
        ports(inputs),
        ports(outputs),
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def engine_of(folder, model, **options):
    """The engine of a model."""
    path = folder / "graph.onnx"
    onnx.save(model, path)
    return TorchEngine(path, folder, **options)


def weight(*shape, seed=0):
    """A fresh float32 weight."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def perceptron(width=16, channels=3):
    """MatMul, Add, Sigmoid, Mul, MatMul on (lanes, tokens, channels): planned from end to end."""
    return model_of(
        [
            node("MatMul", "x w1", "a"),
            node("Add", "a b1", "b"),
            node("Sigmoid", "b", "c"),
            node("Mul", "b c", "d"),
            node("MatMul", "d w2", "y"),
        ],
        {"x": ["lanes", 5, channels]},
        {"y": ["lanes", 5, channels]},
        {
            "w1": weight(channels, width),
            "b1": weight(width, seed=1),
            "w2": weight(width, channels, seed=2),
        },
    )


def convolution():
    """A convolution between pointwise operators, then a view: its result is torch's own."""
    return model_of(
        [
            node("Mul", "x x", "a"),
            node("Conv", "a w", "b", pads=[1, 1, 1, 1]),
            node("Transpose", "b", "c", perm=[0, 2, 3, 1]),
            node("Relu", "c", "d"),
            node("Conv", "x w", "e", pads=[1, 1, 1, 1]),
            node("Transpose", "e", "f", perm=[0, 2, 3, 1]),
            node("Add", "d f", "y"),
        ],
        {"x": ["lanes", 2, 4, 5]},
        {"y": ["lanes", 4, 5, 3]},
        {"w": weight(3, 2, 3, 3)},
    )


def draw(engine, lanes, seed=0, device="cpu"):
    """Fresh inputs and poisoned outputs as torch tensors; times are 0..1000, integers 0..9."""
    generator = torch.Generator().manual_seed(seed)
    buffers = {}
    for port in engine.inputs:
        shape, dtype = port.shape(lanes), NAMES[port.dtype]
        if dtype.is_floating_point:
            spread = 1000.0 if len(shape) == 1 else 1.0
            drawn = torch.rand(shape, generator=generator) if len(shape) == 1 else None
            drawn = torch.randn(shape, generator=generator) if drawn is None else drawn
            buffers[port.name] = (drawn * spread).to(device, dtype)
        else:
            buffers[port.name] = torch.randint(0, 10, shape, generator=generator).to(device, dtype)
    return buffers | poisoned(engine, lanes, device)


def poisoned(engine, lanes, device="cpu"):
    """Outputs that hold something else."""
    return {
        port.name: torch.full(port.shape(lanes), 77, dtype=NAMES[port.dtype], device=device)
        for port in engine.outputs
    }


def outputs_of(engine, lanes, buffers):
    """A fresh call's outputs for given inputs."""
    fresh = buffers | poisoned(engine, lanes, next(iter(buffers.values())).device)
    engine.bind(lanes, fresh).run()
    return {port.name: fresh[port.name] for port in engine.outputs}


def relative(found, wanted):
    """max |difference| over max |wanted|."""
    found, wanted = found.detach().double(), wanted.detach().double()
    return float((found - wanted).abs().max() / wanted.abs().max())
