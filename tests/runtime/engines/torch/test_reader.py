"""What is read from an ONNX file, and everything that is refused by name."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.torch.reader import read_graph
from denoisert.runtime.errors import BuildError
from tests.runtime.engines.torch.graphs import model_of, node, perceptron, weight

SQUARE = {"x": ["lanes", 2]}, {"y": ["lanes", 2]}


def read(folder, model):
    path = folder / "graph.onnx"
    onnx.save(model, path)
    return read_graph(path, folder)


def test_nodes_weights_and_ports(tmp_path):
    graph = read(tmp_path, perceptron())
    assert [entry.op for entry in graph.nodes] == ["MatMul", "Add", "Sigmoid", "Mul", "MatMul"]
    assert graph.inputs == (Port("x", "float32", ("lanes", 5, 3)),)
    assert graph.outputs == (Port("y", "float32", ("lanes", 5, 3)),)
    assert graph.name == "graph.onnx"
    assert graph.opset == 23
    np.testing.assert_array_equal(graph.weights["w1"].numpy(), weight(3, 16))


def test_a_first_dimension_without_a_name_is_lanes(tmp_path):
    graph = read(tmp_path, model_of([node("Relu", "x", "y")], {"x": [None, 2]}, {"y": [None, 2]}))
    assert graph.inputs[0].dims == ("lanes", 2)


def test_weights_among_the_inputs_are_no_ports(tmp_path):
    inputs = {"x": ["lanes", 2], "w": [2]}
    nodes = [node("Add", "x w", "y")]
    graph = read(tmp_path, model_of(nodes, inputs, SQUARE[1], {"w": weight(2)}))
    assert [port.name for port in graph.inputs] == ["x"]


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        ({"value_float": 1.5}, torch.tensor(1.5)),
        ({"value_int": 3}, torch.tensor(3)),
        ({"value_floats": [1.0, 2.0]}, torch.tensor([1.0, 2.0])),
        ({"value_ints": [4, 5]}, torch.tensor([4, 5])),
        ({"value": numpy_helper.from_array(np.ones((2, 1), np.int32))}, torch.ones(2, 1).int()),
    ],
    ids=["float", "int", "floats", "ints", "tensor"],
)
def test_constants_are_weights(attributes, wanted, tmp_path):
    nodes = [node("Constant", "", "c", **attributes), node("Relu", "x", "y")]
    graph = read(tmp_path, model_of(nodes, *SQUARE))
    assert [entry.op for entry in graph.nodes] == ["Relu"]
    assert graph.weights["c"].dtype == wanted.dtype
    assert torch.equal(graph.weights["c"], wanted)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "int32", "bool"])
def test_weights_of_every_type(dtype, tmp_path):
    wanted = torch.tensor([0.0, 1.0, -2.5]).to(getattr(torch, dtype))
    number = getattr(TensorProto, {"float64": "DOUBLE"}.get(dtype, dtype.upper()))
    raw = bytes(wanted.view(torch.uint8).tolist())
    proto = helper.make_tensor("w", number, (3,), raw, raw=True)
    model = model_of([node("Relu", "x", "y")], *SQUARE)
    model.graph.initializer.append(proto)
    found = read(tmp_path, model).weights["w"]
    assert found.dtype == wanted.dtype
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("op", ["NoSuchOperator", "If", "Loop", "Scan", "NonZero", "RandomNormal"])
def test_unknown_operators_are_refused_by_name(op, tmp_path):
    model = model_of([node(op, "x", "y")], *SQUARE)
    with pytest.raises(BuildError, match=f"does not know the operator {op} of 'y'"):
        read(tmp_path, model)


def test_other_domains_are_refused_by_name(tmp_path):
    entry = node("Gelu", "x", "y")
    entry.domain = "com.microsoft"
    with pytest.raises(BuildError, match=r"com\.microsoft::Gelu"):
        read(tmp_path, model_of([entry], *SQUARE))


def test_unknown_attributes_are_refused_by_name(tmp_path):
    model = model_of([node("Relu", "x", "y", slope=0.5)], *SQUARE)
    with pytest.raises(BuildError, match=r"Relu 'y' has slope = 0\.5"):
        read(tmp_path, model)


def test_attributes_of_another_type_are_refused(tmp_path):
    model = model_of([node("Relu", "x", "y", names=["a", "b"])], *SQUARE)
    with pytest.raises(BuildError, match="attribute names of type 8"):
        read(tmp_path, model)


def test_constants_that_are_no_tensor_are_refused(tmp_path):
    nodes = [node("Constant", "", "c", value_string="text"), node("Relu", "x", "y")]
    with pytest.raises(BuildError, match="Constant 'c' holds no tensor"):
        read(tmp_path, model_of(nodes, *SQUARE))


def test_types_that_nothing_feeds_are_refused(tmp_path):
    model = model_of([node("Relu", "x", "y")], *SQUARE)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    with pytest.raises(BuildError, match="port 'x' has the ONNX element type 8"):
        read(tmp_path, model)


@pytest.mark.parametrize("opset", [11, 99])
def test_opsets_that_nobody_checked_are_refused(opset, tmp_path):
    model = model_of([node("Relu", "x", "y")], *SQUARE, opset=opset)
    with pytest.raises(BuildError, match=rf"opset \[{opset}\]"):
        read(tmp_path, model)


def test_a_second_dimension_that_varies_needs_a_name(tmp_path):
    model = model_of([node("Relu", "x", "y")], {"x": ["lanes", "width"]}, SQUARE[1])
    assert read(tmp_path, model).inputs[0].dims == ("lanes", "width")
    model.graph.input[0].type.tensor_type.shape.dim[1].ClearField("dim_param")
    with pytest.raises(BuildError, match="only those with a name"):
        read(tmp_path, model)


def test_ports_without_a_shape_are_refused(tmp_path):
    model = model_of([node("Relu", "x", "y")], *SQUARE)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(BuildError, match="x has no shape"):
        read(tmp_path, model)


def test_nodes_in_the_wrong_order_are_refused(tmp_path):
    nodes = [node("Relu", "a", "y"), node("Relu", "x", "a")]
    with pytest.raises(BuildError, match=r"Relu 'y' reads \['a'\]"):
        read(tmp_path, model_of(nodes, *SQUARE))


def test_outputs_that_nothing_writes_are_refused(tmp_path):
    model = model_of([node("Relu", "x", "a")], *SQUARE)
    with pytest.raises(BuildError, match=r"nothing writes the outputs \['y'\]"):
        read(tmp_path, model)


@pytest.mark.parametrize("content", [b"", b"no graph at all", None], ids=["empty", "text", "cut"])
def test_broken_files_are_refused_with_their_name(content, tmp_path):
    path = tmp_path / "graph.onnx"
    onnx.save(perceptron(), path)
    path.write_bytes(path.read_bytes()[:40] if content is None else content)
    with pytest.raises(BuildError, match=r"graph\.onnx"):
        read_graph(path, tmp_path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BuildError, match=r"cannot read none\.onnx"):
        read_graph(tmp_path / "none.onnx", tmp_path)


def test_a_weight_with_too_few_bytes_is_refused(tmp_path):
    model = model_of([node("Relu", "x", "y")], *SQUARE)
    proto = helper.make_tensor("w", TensorProto.FLOAT, (3,), b"\0" * 12, raw=True)
    proto.raw_data = b"\0" * 8
    model.graph.initializer.append(proto)
    with pytest.raises(BuildError, match="weight 'w' of"):
        read(tmp_path, model)
