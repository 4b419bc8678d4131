"""Graphs to narrow, and a look at what they are afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from denoisert.export.parity import Trial
from denoisert.export.precision.rewrite import narrow
from denoisert.export.targets.session import open_graph
from tests.runtime.engines.torch.graphs import model_of, node, weight

HALVES = {"float16": ir.DataType.FLOAT16, "bfloat16": ir.DataType.BFLOAT16}
FLOAT = ir.DataType.FLOAT

LATENT = {"x": ["lanes", 4, 6, 6]}
LATENT_OUT = {"y": LATENT["x"]}

UNKNOWN = ("GroupNormalization",)
"""Operators whose results ONNX does not infer."""


def graph_of(nodes, inputs, outputs, weights=None, opset=23) -> ir.Model:
    """A model with the types and shapes of its values, as exporters write them."""
    proto = model_of(nodes, inputs, outputs, weights, opset)
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto))


def block(width: int = 8) -> ir.Model:
    """Time, label and tokens: an embedding, attention and a feed-forward layer with residuals."""
    return graph_of(
        [
            node("Unsqueeze", "time one", "column"),
            node("Mul", "column frequency", "phase"),
            node("Sin", "phase", "wave"),
            node("Gemm", "wave w_time", "shift", transB=1),
            node("Gather", "table i_label", "label"),
            node("Add", "shift label", "told"),
            node("Unsqueeze", "told one", "row"),
            node("Add", "x row", "a"),
            node("LayerNormalization", "a scale bias", "b"),
            node("MatMul", "b w_q", "q"),
            node("MatMul", "b w_k", "k"),
            node("Attention", "q k b", "c", q_num_heads=2, kv_num_heads=2),
            node("Add", "a c", "d"),
            node("RMSNormalization", "d scale", "e"),
            node("MatMul", "e w_up", "f"),
            node("Gelu", "f", "g"),
            node("MatMul", "g w_down", "h"),
            node("Add", "d h", "y"),
        ],
        {"x": ["lanes", 3, width], "time": ["lanes"], "i_label": ["lanes"]},
        {"y": ["lanes", 3, width]},
        {
            "one": np.array([1]),
            "frequency": np.linspace(0.5, 3.0, 6, dtype=np.float32)[None],
            "w_time": weight(width, 6),
            "table": weight(5, width),
            "scale": weight(width),
            "bias": weight(width, seed=1),
            "w_q": weight(width, width),
            "w_k": weight(width, width, seed=1),
            "w_up": weight(width, 2 * width) / 2,
            "w_down": weight(2 * width, width) / 2,
        },
    )


def narrowed(model: ir.Model, dtype: str = "float16", keep=()) -> tuple[ir.Model, int]:
    """A narrowed copy, whose types ONNX agrees with, and how many of its nodes are half."""
    copy = model.clone()
    count = narrow(copy, dtype, keep)
    check_typed(copy)
    return copy, count


def drawn(model: ir.Model, lanes: int = 2, seed: int = 0) -> dict[str, np.ndarray]:
    """Normal floats and integers below five for every input; axes with a name have `lanes`."""
    generator = np.random.default_rng(seed)
    found = {}
    for value in model.graph.inputs:
        shape = [size if isinstance(size, int) else lanes for size in value.shape]
        is_float = value.dtype is FLOAT
        array = generator.standard_normal(shape) if is_float else generator.integers(0, 5, shape)
        found[value.name] = array.astype(value.dtype.numpy())
    return found


def trials_of(model: ir.Model, root: Path | str = ".", counts=(1, 2)) -> tuple[Trial, ...]:
    """Fresh inputs and what ONNX Runtime makes of them in float32."""
    text = ir.to_proto(model).SerializeToString()
    evaluate = open_graph(text, root, "a test graph")
    inputs = [drawn(model, lanes, seed=lanes) for lanes in counts]
    return tuple(Trial(each, evaluate(each)) for each in inputs)


def dtypes(model: ir.Model) -> dict[str, ir.DataType]:
    """Value -> its type, of every node's output."""
    return {value.name: value.dtype for node in model.graph for value in node.outputs}


def read_dtypes(model: ir.Model, name: str) -> list[ir.DataType | None]:
    """The types of a node's inputs."""
    (found,) = (node for node in model.graph if node.name == name)
    return [None if value is None else value.dtype for value in found.inputs]


def casts(model: ir.Model) -> list[tuple[str, ir.DataType]]:
    """What every Cast reads, and the type that it gives."""
    return [
        (node.inputs[0].name, node.outputs[0].dtype)
        for node in model.graph
        if node.op_type == "Cast"
    ]


def check_typed(model: ir.Model) -> None:
    """ONNX infers exactly the types that the graph declares, from its inputs and weights alone."""
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    weights = {tensor.name for tensor in proto.graph.initializer}
    declared = {info.name: info.type.tensor_type.elem_type for info in proto.graph.value_info}
    declared = {name: kind for name, kind in declared.items() if name not in weights}
    given = {name for each in proto.graph.node if each.op_type in UNKNOWN for name in each.output}
    infos = [info for info in proto.graph.value_info if info.name in given]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(infos)
    inferred = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)
    found = {info.name: info.type.tensor_type.elem_type for info in inferred.graph.value_info}
    assert declared.keys() <= found.keys()
    assert {name: found[name] for name in declared} == declared
    for node_ in model.graph:
        _check_one_type(node_)


def _check_one_type(node_: ir.Node) -> None:
    """No node mixes float types, but for Casts and what ONNX fixes to float32."""
    floats = {FLOAT, *HALVES.values()}
    if node_.op_type in ("Cast", "Resize"):
        return
    kinds = {value.dtype for value in (*node_.inputs, *node_.outputs) if value is not None}
    assert len(kinds & floats) <= 1, f"{node_.op_type} {node_.name} mixes {kinds}"
