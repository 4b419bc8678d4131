"""Weights out of the graph: what moves, what stays, and where the locations point."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from denoisert.export.bundle import write_weights
from denoisert.export.graph.constants import constant, int64
from denoisert.export.graph.dims import unify_dims
from denoisert.export.graph.externalise import SMALLEST_BYTES, Location, externalise
from denoisert.export.graph.signature import denoiser_signature
from denoisert.export.sources.external_data import tensors
from denoisert.export.targets.session import open_graph
from tests.export.foreign import CHANNELS, SIZE, VECTOR_CARD, denoiser, evaluate
from tests.export.running import run_model


class Writer:
    """Writes below a root, and remembers what it was asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[list[str]] = []

    def __call__(self, arrays) -> Location:
        self.asked.append(sorted(arrays))
        name, places = write_weights(self.root / "weights", arrays)
        return f"weights/{name}", places


def drawn(lanes: int = 2) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(4)
    x = generator.standard_normal((lanes, CHANNELS, SIZE)).astype(np.float32)
    return {"x": x, "time": generator.random(lanes, np.float32)}


def test_large_weights_move_and_small_ones_stay(tmp_path: Path) -> None:
    write = Writer(tmp_path)
    model = ir.from_proto(denoiser())
    (location,) = externalise(model, tmp_path, write)
    assert write.asked == [["W"]]
    proto = ir.to_proto(model)
    kinds = {tensor.name: tensor.data_location for tensor in proto.graph.initializer}
    assert kinds["W"] == TensorProto.EXTERNAL
    assert kinds["one"] == kinds["shape"] == TensorProto.DEFAULT
    (weight,) = (tensor for tensor in proto.graph.initializer if tensor.name == "W")
    entries = {entry.key: entry.value for entry in weight.external_data}
    assert entries["location"] == location
    assert location.startswith("weights/")
    assert not weight.raw_data
    data = (tmp_path / location).read_bytes()
    place = int(entries["offset"])
    original = next(tensor for tensor in denoiser().graph.initializer if tensor.name == "W")
    assert data[place : place + int(entries["length"])] == original.raw_data


def test_the_graph_computes_the_same_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    model = ir.from_proto(denoiser())
    externalise(model, root, Writer(root))
    text = ir.to_proto(model).SerializeToString()
    monkeypatch.chdir(tmp_path)
    inputs = drawn()
    found = open_graph(text, root, "moved")(inputs)["eps"]
    expected = evaluate(denoiser(), inputs["x"], inputs["time"])
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def test_a_graph_of_small_weights_writes_nothing(tmp_path: Path) -> None:
    proto = denoiser()
    small = np.zeros((SIZE, 1), np.float32)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(small, "W"))
    write = Writer(tmp_path)
    assert externalise(ir.from_proto(proto), tmp_path, write) == ()
    assert write.asked == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("extra", [-4, 0])
def test_the_limit_is_exact(tmp_path: Path, extra: int) -> None:
    array = np.zeros((SMALLEST_BYTES + extra) // 4, np.float32)
    graph = ir.from_proto(denoiser()).graph
    constant(graph, array)
    write = Writer(tmp_path)
    externalise(ir.Model(graph, ir_version=9), tmp_path, write)
    assert len(write.asked[0]) == (1 if extra else 2)


def test_large_constant_nodes_move_too(tmp_path: Path) -> None:
    proto = denoiser()
    weight = copy.deepcopy(proto.graph.initializer[0])
    assert weight.name == "W"
    proto.graph.initializer.pop(0)
    proto.graph.node.insert(0, helper.make_node("Constant", [], ["W"], value=weight))
    model = ir.from_proto(proto)
    externalise(model, tmp_path, Writer(tmp_path))
    assert "Constant" not in {node.op_type for node in model.graph}
    inputs = drawn()
    found = open_graph(ir.to_proto(model).SerializeToString(), tmp_path, "constants")(inputs)
    expected = evaluate(denoiser(), inputs["x"], inputs["time"])
    np.testing.assert_allclose(found["eps"], expected, rtol=2e-6, atol=2e-6)


def test_origins_are_forgotten(tmp_path: Path) -> None:
    proto = denoiser()
    secret = "made at home"
    proto.doc_string = proto.graph.doc_string = proto.graph.node[0].doc_string = secret
    proto.graph.input[0].doc_string = secret
    proto.metadata_props.add(key="path", value=secret)
    proto.graph.node[1].metadata_props.add(key="stack", value=secret)
    model = ir.from_proto(proto)
    externalise(model, tmp_path, Writer(tmp_path))
    assert secret.encode() not in ir.to_proto(model).SerializeToString()


def test_constants_of_one_content_are_one_value() -> None:
    graph = ir.from_proto(denoiser()).graph
    before = len(graph.initializers)
    assert int64(graph, 0, 3, -1) is int64(graph, 0, 3, -1)
    assert int64(graph, 1) is not constant(graph, np.ones(1, np.int32))
    assert constant(graph, np.ones((2, 1))) is not constant(graph, np.ones((1, 2)))
    assert len(graph.initializers) == before + 5


def test_free_names_are_unified_also_between_nodes() -> None:
    proto = onnx.shape_inference.infer_shapes(denoiser(batch="N", time_dims=["M"]))
    model = ir.from_proto(proto)
    unify_dims(model, denoiser_signature(VECTOR_CARD))
    text = ir.to_proto(model)
    values = (*text.graph.input, *text.graph.output, *text.graph.value_info)
    names = {dim.dim_param for value in values for dim in value.type.tensor_type.shape.dim}
    assert "lanes" in names
    assert not names & {"N", "M"}
    expected = evaluate(proto, **drawn())
    np.testing.assert_allclose(run_model(model, drawn())["eps"], expected, rtol=2e-6, atol=2e-6)


def test_a_graph_that_already_says_lanes_is_not_touched() -> None:
    model = ir.from_proto(denoiser(batch="lanes", time_dims=["lanes"]))
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    unify_dims(model, denoiser_signature(VECTOR_CARD))
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_every_tensor_of_a_model_is_found() -> None:
    names = {tensor.name for tensor in tensors(denoiser())}
    assert names == {"W", "one", "shape"}
