"""From an ONNX file to a `Graph`; what the engine does not know is refused here, by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.torch.dtypes import NAMES, dtype_name
from denoisert.runtime.engines.torch.external import ExternalFiles
from denoisert.runtime.engines.torch.graph import Attribute, Graph, Node
from denoisert.runtime.engines.torch.operators import OPERATORS
from denoisert.runtime.errors import BuildError

LANES: Final = "lanes"  # what a first dimension without a name is called
OLDEST_OPSET: Final = 13
NEWEST_OPSET: Final = 26
DEFAULT_DOMAINS: Final = ("", "ai.onnx")


def read_graph(path: Path, weights_root: Path) -> Graph:
    """Read and check a graph.

    Args:
        path: the ONNX file.
        weights_root: folder that the locations of external weights are relative to.

    Returns:
        The graph; external weights share the pages of their files.

    Raises:
        BuildError: no graph, or one with an operator, attribute, domain, dtype or shape that the
            engine does not know, or with weights that lie elsewhere than it says.
    """
    model = _load(path)
    files = ExternalFiles(weights_root)
    weights = {tensor.name: _tensor(tensor, files) for tensor in model.graph.initializer}
    nodes = []
    for proto in model.graph.node:
        if proto.op_type == "Constant" and proto.domain in DEFAULT_DOMAINS:
            weights[proto.output[0]] = _constant(proto, files)
        else:
            nodes.append(_node(proto, files))
    given = [value for value in model.graph.input if value.name not in weights]
    graph = Graph(
        path.name, _opset(model), tuple(nodes), weights, _ports(given), _ports(model.graph.output)
    )
    _check_order(graph)
    return graph


def _load(path: Path) -> ModelProto:
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise BuildError(f"the torch engine cannot read {path.name}: {error}") from error
    if not model.graph.output:
        raise BuildError(f"{path.name} holds no graph with outputs. Compile the model again.")
    return model


def _opset(model: ModelProto) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in DEFAULT_DOMAINS]
    if len(versions) != 1 or not OLDEST_OPSET <= versions[0] <= NEWEST_OPSET:
        raise BuildError(
            f"the graph is of opset {versions}; the torch engine knows {OLDEST_OPSET} to "
            f"{NEWEST_OPSET}. Export it in one of these."
        )
    return int(versions[0])


def _node(proto: NodeProto, files: ExternalFiles) -> Node:
    operator = OPERATORS.get(proto.op_type)
    if proto.domain not in DEFAULT_DOMAINS or operator is None:
        domain = f"{proto.domain}::" if proto.domain else ""
        raise BuildError(
            f"the torch engine does not know the operator {domain}{proto.op_type} of "
            f"{proto.name!r}. Export the graph without it or choose another engine."
        )
    node = Node(
        proto.op_type,
        tuple(proto.input),
        tuple(proto.output),
        {item.name: _attribute(proto, item, files) for item in proto.attribute},
        proto.name,
    )
    operator.check(node)
    return node


def _attribute(proto: NodeProto, item: AttributeProto, files: ExternalFiles) -> Attribute:
    match item.type:
        case AttributeProto.INT:
            return int(item.i)
        case AttributeProto.FLOAT:
            return float(item.f)
        case AttributeProto.STRING:
            return str(item.s.decode("utf-8", "replace"))
        case AttributeProto.INTS:
            return tuple(item.ints)
        case AttributeProto.FLOATS:
            return tuple(item.floats)
        case AttributeProto.TENSOR:
            return _tensor(item.t, files)
    raise BuildError(
        f"{proto.op_type} {proto.name!r} has the attribute {item.name} of type {item.type}, which "
        "the torch engine does not know. Export the graph without it or choose another engine."
    )


def _constant(proto: NodeProto, files: ExternalFiles) -> torch.Tensor:
    """The value of a Constant node."""
    values = [_attribute(proto, item, files) for item in proto.attribute]
    if len(values) != 1 or isinstance(values[0], str):
        raise BuildError(f"Constant {proto.name!r} holds no tensor. Export the graph again.")
    value = values[0]
    if isinstance(value, torch.Tensor):
        return value
    is_float = isinstance(value[0] if isinstance(value, tuple) and value else value, float)
    return torch.tensor(value, dtype=torch.float32 if is_float else torch.int64)


def _tensor(proto: TensorProto, files: ExternalFiles) -> torch.Tensor:
    dtype = NAMES[dtype_name(proto.data_type, f"weight {proto.name!r}")]
    shape = tuple(proto.dims)
    if proto.data_location == TensorProto.EXTERNAL:
        entries = {entry.key: entry.value for entry in proto.external_data}
        return files.tensor(proto.name, entries, dtype, shape)
    try:
        array = np.array(numpy_helper.to_array(proto), order="C")
    except (ValueError, TypeError) as error:
        raise BuildError(
            f"weight {proto.name!r} of {dtype} {shape} cannot be read: {error}. Compile again."
        ) from error
    if dtype is torch.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(dtype)
    return torch.from_numpy(array)


def _ports(values: Iterable[ValueInfoProto]) -> tuple[Port, ...]:
    ports = []
    for value in values:
        kind = value.type.tensor_type
        dtype = dtype_name(kind.elem_type, f"port {value.name!r}")
        if not kind.HasField("shape"):
            raise BuildError(f"{value.name} has no shape. Export the graph again.")
        dims = tuple(_size(dim) for dim in kind.shape.dim)
        if any(_is_nameless(dim) for dim in kind.shape.dim[1:]):
            raise BuildError(
                f"{value.name} has shape {dims}; beside the first dimension only those with a name "
                "may vary. Compile the model again."
            )
        ports.append(Port(value.name, dtype, dims))
    return tuple(ports)


def _size(dim: onnx.TensorShapeProto.Dimension) -> int | str:
    return int(dim.dim_value) if dim.HasField("dim_value") else str(dim.dim_param) or LANES


def _is_nameless(dim: onnx.TensorShapeProto.Dimension) -> bool:
    return not dim.HasField("dim_value") and not dim.dim_param


def _check_order(graph: Graph) -> None:
    """Refuse a node that reads what nobody has written yet."""
    known = {port.name for port in graph.inputs} | set(graph.weights)
    for node in graph.nodes:
        missing = [name for name in node.inputs if name and name not in known]
        if missing:
            raise BuildError(
                f"{node.op} {node.name!r} reads {missing}, which nothing before it writes. Export "
                "the graph again."
            )
        known.update(node.outputs)
    missing = [port.name for port in graph.outputs if port.name not in known]
    if missing:
        raise BuildError(f"nothing writes the outputs {missing}. Export the graph again.")
