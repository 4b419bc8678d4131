"""Small graphs for TensorRT's compiler, and the jobs that build them."""

from pathlib import Path

import ml_dtypes
import numpy as np
from onnx import TensorProto, helper, load, numpy_helper

from denoisert.export.targets.job import EngineJob
from denoisert.export.targets.tensorrt.compiler import build
from denoisert.runtime.engines.profile import Profile

TYPES = {
    "float32": (TensorProto.FLOAT, np.float32),
    "float16": (TensorProto.FLOAT16, np.float16),
    "bfloat16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
}
NODE = helper.make_node
IMAGE = ("lanes", 4, 8, 8)
DYNAMIC = Profile({"lanes": (1, 2, 4)})
STATIC = Profile({"lanes": (2, 2, 2)})


def silent(step, done, whole):
    """A report that nobody reads."""


def saved(folder, nodes, inputs, outputs, weights=()):
    """A graph of float32 ports, given as name -> dimensions, as a file."""
    value = helper.make_tensor_value_info

    def ports(given):
        return [value(name, TensorProto.FLOAT, dims) for name, dims in given.items()]

    graph = helper.make_graph(nodes, "graph", ports(inputs), ports(outputs), list(weights))
    domains = [helper.make_opsetid("", 23), helper.make_opsetid("com.acme", 1)]
    path = Path(folder) / "graph.onnx"
    model = helper.make_model(graph, opset_imports=domains, ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


def job(graph, profiles=(DYNAMIC,), capabilities=(), target="tensorrt-rtx"):
    """What builds a graph, beside it."""
    out = graph.with_suffix(".engine")
    return EngineJob("denoiser", target, graph, graph.parent, out, profiles, capabilities)


def relu(folder):
    return saved(folder, [NODE("Relu", ["x"], ["y"], name="r")], {"x": IMAGE}, {"y": IMAGE})


def reshape(folder, target=(2, 4, 64)):
    """Only two lanes have as many values as the constant shape."""
    shape = numpy_helper.from_array(np.array(target, np.int64), "shape")
    node = NODE("Reshape", ["x", "shape"], ["y"], name="fixed_reshape")
    return saved(folder, [node], {"x": IMAGE}, {"y": target}, [shape])


def convolution(folder, dtype="float16", size="lanes"):
    """Two convolutions in a dtype, between casts: ports stay float32."""
    number, kind = TYPES[dtype]
    values = np.random.default_rng(3).standard_normal((4, 4, 3, 3), np.float32).astype(kind)
    image = (size, *IMAGE[1:])
    nodes = [
        NODE("Cast", ["x"], ["narrow"], to=number, name="narrow"),
        NODE("Conv", ["narrow", "w"], ["a"], pads=[1] * 4, name="first"),
        NODE("Relu", ["a"], ["b"], name="between"),
        NODE("Conv", ["b", "w"], ["c"], pads=[1] * 4, name="second"),
        NODE("Cast", ["c"], ["y"], to=TensorProto.FLOAT, name="wide"),
    ]
    return saved(folder, nodes, {"x": image}, {"y": image}, [numpy_helper.from_array(values, "w")])


def attention(folder, dtype="float32", head=64):
    """One attention over 16 tokens with two heads."""
    number, _ = TYPES[dtype]
    dims = ("lanes", 2, 16, head)
    casts = [NODE("Cast", [c], [f"{c}n"], to=number, name=f"narrow_{c}") for c in "qkv"]
    nodes = [
        *casts,
        NODE("Attention", ["qn", "kn", "vn"], ["a"], name="attend"),
        NODE("Cast", ["a"], ["y"], to=TensorProto.FLOAT, name="wide"),
    ]
    return saved(folder, nodes, dict.fromkeys("qkv", dims), {"y": dims})


def external(graph, root, size=None):
    """The same graph in a folder of its own, its weights in a file below the root."""
    model = load(graph)
    (root / "graphs").mkdir(exist_ok=True)
    (root / "weights").mkdir(exist_ok=True)
    tensor = model.graph.initializer[0]
    content = numpy_helper.to_array(tensor).tobytes()
    (root / "weights" / "w.bin").write_bytes(content[:size])
    tensor.ClearField("raw_data")
    tensor.data_location = tensor.EXTERNAL
    for key, value in (("location", "weights/w.bin"), ("length", str(len(content)))):
        tensor.external_data.add(key=key, value=value)
    moved = root / "graphs" / "graph.onnx"
    moved.write_bytes(model.SerializeToString())
    return moved


def built(wanted, report=silent):
    build(wanted, report)
    return wanted.out.read_bytes()
