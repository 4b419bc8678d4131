"""Graphs of one operator, run by the torch engine in both its ways and by an oracle."""

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from denoisert.runtime.engines.torch.engine import TorchEngine

TYPES = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
}
OPSET = 23


def normal(*shape, seed=0, dtype=np.float32):
    """Fresh normal numbers."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def integers(*shape, low=-4, high=5, seed=0, dtype=np.int64):
    """Fresh integers, low <= x < high."""
    return np.random.default_rng([seed, *shape]).integers(low, high, shape).astype(dtype)


def ints(*values):
    """A constant list of int64."""
    return np.array(values, np.int64)


def graph_of(op, inputs, attributes, *, constants=(), outputs=None, opset=OPSET):
    """A model of one node; inputs named in `constants` are initialisers, None is left out."""
    names = ["" if array is None else f"x{i}" for i, array in enumerate(inputs)]
    results = ["y0"] if outputs is None else [f"y{i}" for i in range(len(outputs))]
    node = helper.make_node(op, names, results, name="node", **attributes)
    given = {name: x for name, x in zip(names, inputs, strict=True) if name}
    fixed = {f"x{i}" for i in constants}
    value = helper.make_tensor_value_info
    shown = [
        value(name, TYPES[array.dtype.name], array.shape)
        for name, array in zip(results, outputs or (), strict=outputs is not None)
    ]
    graph = helper.make_graph(
        [node],
        "graph",
        [value(n, TYPES[x.dtype.name], x.shape) for n, x in given.items() if n not in fixed],
        shown or [onnx.ValueInfoProto(name=name) for name in results],
        [numpy_helper.from_array(x, n) for n, x in given.items() if n in fixed],
    )
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def feeds(inputs, constants):
    return {f"x{i}": x for i, x in enumerate(inputs) if x is not None and i not in set(constants)}


def ort_answer(model, given, names):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=providers)
    return session.run(names, given)


def reference_answer(model, given, names):
    return ReferenceEvaluator(model).run(names, given)


def agree(folder, op, inputs, attributes=None, **options):
    """Bound call and function against the oracle; returns what the oracle says.

    options: `constants`, indices of initialisers; `count`, outputs; `opset`; `answer`, the oracle;
    `rtol`.
    """
    attributes, constants = attributes or {}, options.get("constants", ())
    opset, count = options.get("opset", OPSET), options.get("count", 1)
    answer, rtol = options.get("answer", ort_answer), options.get("rtol", 1e-5)
    names = [f"y{i}" for i in range(count)]
    blank = [np.zeros((1,), np.float32)] * count
    draft = graph_of(op, inputs, attributes, constants=constants, outputs=blank, opset=opset)
    for port in draft.graph.output:
        port.ClearField("type")
    given = feeds(inputs, constants)
    wanted = [np.asarray(array) for array in answer(draft, given, names)]
    engine = saved_engine(
        folder,
        graph_of(op, inputs, attributes, constants=constants, outputs=wanted, opset=opset),
    )
    for found in (bound_answer(engine, given), function_answer(engine, given)):
        for name, array in zip(names, wanted, strict=True):
            compare(found[name], array, rtol)
    return wanted


def saved_engine(folder, model, **options):
    path = folder / "graph.onnx"
    onnx.save(model, path)
    return TorchEngine(path, folder, **options)


def bound_answer(engine, given):
    """Two runs into poisoned outputs; the inputs stay as they are."""
    bucket = engine.buckets[0]
    outputs = {port.name: port.buffer(bucket) for port in engine.outputs}
    buffers = {name: array.copy() for name, array in given.items()}
    bound = engine.bind(bucket, buffers | outputs)
    for _ in range(2):
        for array in outputs.values():
            array.fill(77)
        bound.run()
    for name, array in given.items():
        np.testing.assert_array_equal(buffers[name], array)
    return outputs


def function_answer(engine, given):

    tensors = {name: torch.from_numpy(array.copy()) for name, array in given.items()}
    found = engine.function(engine.buckets[0])(tensors)
    return {name: tensor.numpy() for name, tensor in found.items()}


def compare(found, wanted, rtol):
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    if wanted.dtype.kind != "f":
        np.testing.assert_array_equal(found, wanted)
        return
    finite = wanted[np.isfinite(wanted)]
    scale = np.abs(finite).max() if finite.size else 1.0
    np.testing.assert_allclose(found, wanted, rtol=0, atol=rtol * max(float(scale), 1e-3))
