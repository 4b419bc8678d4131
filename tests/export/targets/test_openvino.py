"""The compiler of the openvino target: what it writes, twice the same, and what it refuses."""

import subprocess
import sys
from contextlib import chdir

import numpy as np
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from denoisert.export.targets.openvino import STEPS, build
from denoisert.runtime.errors import BuildError, UnsupportedOperator
from tests.export.targets.disks import largest_file
from tests.runtime.engines.openvino_graphs import convert, job, silent

WIDTH = 600  # weights above the size that stays inside the file

RELU = helper.make_node("Relu", ["x"], ["y"])


def saved(folder, nodes, weights=(), opset=23, custom=False):
    """x (lanes, WIDTH) -> y, in a folder of its own, its weights in `weights/` below the root."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "graph",
        [value("x", TensorProto.FLOAT, ["lanes", WIDTH])],
        [value("y", TensorProto.FLOAT, ["lanes", WIDTH])],
        list(weights),
    )
    domains = [helper.make_opsetid("", opset)] + [helper.make_opsetid("ours", 1)] * custom
    model = helper.make_model(graph, opset_imports=domains, ir_version=10)
    path = folder / "graphs" / "graph.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(model.SerializeToString())
    return path


def outside(folder, name, array):
    """A weight whose bytes lie in a file beside the graph's folder, as in a bundle."""
    tensor = numpy_helper.from_array(array, name)
    (folder / "weights").mkdir(exist_ok=True)
    (folder / "weights" / name).write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=f"weights/{name}")
    return tensor


@pytest.fixture
def linear(tmp_path):
    """y = x W, with W outside the graph's folder; and W."""
    weight = np.random.default_rng(0).standard_normal((WIDTH, WIDTH)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    return saved(tmp_path, nodes, [outside(tmp_path, "w", weight)]), weight


def written(graph, root, out, report=silent):
    with chdir(root):
        build(job(graph, root, out), report)
    return out.read_bytes(), out.with_suffix(".bin").read_bytes()


def test_weights_beside_the_graphs_folder_are_found_and_kept_in_their_type(linear, tmp_path):
    graph, weight = linear
    _, weights = written(graph, tmp_path, tmp_path / "engines" / "openvino" / "graph.xml")
    assert weight.tobytes() in weights
    assert len(weights) < weight.nbytes + 64
    assert sorted(path.name for path in (tmp_path / "engines" / "openvino").iterdir()) == [
        "graph.bin",
        "graph.xml",
    ]


def test_ports_keep_their_names_types_and_open_lanes(linear, tmp_path):
    written(linear[0], tmp_path, tmp_path / "out.xml")
    model = openvino.Core().read_model(tmp_path / "out.xml")
    (x,), (y,) = model.inputs, model.outputs
    for port, name in ((x, "x"), (y, "y")):
        assert name in port.names
        assert port.element_type == openvino.Type.f32
        assert port.partial_shape == openvino.PartialShape([-1, WIDTH])


def test_what_is_written_computes_the_graph(linear, tmp_path):
    graph, weight = linear
    written(graph, tmp_path, tmp_path / "out.xml")
    compiled = openvino.Core().compile_model(
        tmp_path / "out.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    x = np.random.default_rng(1).standard_normal((3, WIDTH)).astype(np.float32)
    found = compiled({"x": x})["y"]
    np.testing.assert_allclose(found, x.astype(np.float64) @ weight, atol=1e-4)


def test_steps_are_reported(linear, tmp_path):
    news = []
    written(linear[0], tmp_path, tmp_path / "out.xml", lambda *step: news.append(step))
    assert news == [("read", 0, STEPS), ("write", 1, STEPS), ("done", STEPS, STEPS)]


def test_equal_graphs_give_equal_files_whatever_was_read_before(text_bundle, tmp_path):
    """OpenVINO numbers its operators by process, and keeps some of them from model to model."""
    root = text_bundle
    for name in ("text_encoder", "denoiser"):
        graph = root / "graphs" / f"{name}.onnx"
        first = written(graph, root, tmp_path / "1.xml")
        assert written(graph, root, tmp_path / "2" / "1.xml") == first
    code = (
        "import sys; from pathlib import Path\n"
        "from denoisert.export.targets.job import EngineJob\n"
        "from denoisert.export.targets.openvino import build\n"
        "graph, root, out = map(Path, sys.argv[1:])\n"
        "build(EngineJob('x', 'openvino', graph, root, out), lambda *_: None)\n"
    )
    arguments = [sys.executable, "-c", code, graph, root, tmp_path / "3.xml"]
    subprocess.run(arguments, cwd=root, check=True, timeout=120)
    assert (tmp_path / "3.xml").read_bytes() == first[0]
    assert (tmp_path / "3.bin").read_bytes() == first[1]


def test_nothing_of_the_machine_is_in_the_file(linear, tmp_path):
    text, _ = written(linear[0], tmp_path, tmp_path / "out.xml")
    for trace in (str(tmp_path), "graphs/", "weights/", "/home", "graph.onnx"):
        assert trace.encode() not in text
    assert openvino.__version__.encode() in text


def test_other_weights_give_other_files(linear, tmp_path):
    graph, weight = linear
    first = written(graph, tmp_path, tmp_path / "1.xml")
    (tmp_path / "weights" / "w").write_bytes((weight + 1).tobytes())
    assert written(graph, tmp_path, tmp_path / "2.xml")[1] != first[1]


def test_a_bfloat16_graph_is_half_as_large_and_has_float32_ports(linear, tmp_path):
    graph, weight = linear
    whole = convert(graph, tmp_path, tmp_path / "32")
    half = convert(graph, tmp_path, tmp_path / "16", "bfloat16")
    size = half.xml.with_suffix(".bin").stat().st_size
    assert size < whole.xml.with_suffix(".bin").stat().st_size / 2 + 64
    model = openvino.Core().read_model(half.xml)
    ports = (*model.inputs, *model.outputs)
    assert {port.element_type for port in ports} == {openvino.Type.f32}
    kinds = {node.get_type_name(): node.get_output_element_type(0) for node in model.get_ops()}
    assert kinds["MatMul"] == openvino.Type.bf16
    assert weight.nbytes / 2 <= size


def test_normal_forms_become_operators_of_openvino(text_bundle, tmp_path):
    """Attention of opset 23 is its own, and group norms in the lowered form are MVN."""
    convert(text_bundle / "graphs" / "denoiser.onnx", text_bundle, tmp_path)
    model = openvino.Core().read_model(tmp_path / "denoiser.xml")
    kinds = {node.get_type_name() for node in model.get_ops()}
    assert {"ScaledDotProductAttention", "MVN"} <= kinds
    assert "Softmax" not in kinds


def test_an_operator_that_openvino_lacks_is_named(tmp_path):
    node = helper.make_node("Twist", ["x"], ["y"], domain="ours")
    graph = saved(tmp_path, [node], custom=True)
    with pytest.raises(UnsupportedOperator, match=r"lacks an operator of denoiser.*Twist"):
        written(graph, tmp_path, tmp_path / "out.xml")
    assert not (tmp_path / "out.xml").exists()


def test_weights_that_are_not_there_are_refused(linear, tmp_path):
    (tmp_path / "weights" / "w").unlink()
    with pytest.raises(BuildError, match=r"OpenVINO cannot compile denoiser: .*weights/w"):
        written(linear[0], tmp_path, tmp_path / "out.xml")


def test_a_file_that_is_no_graph_is_refused(tmp_path):
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"no graph at all")
    with pytest.raises(BuildError, match="OpenVINO cannot compile denoiser"):
        written(path, tmp_path, tmp_path / "out.xml")


def test_a_place_that_cannot_be_written_is_refused(linear, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildError, match="of denoiser cannot be written"):
        written(linear[0], tmp_path, tmp_path / "file" / "out.xml")


@pytest.mark.parametrize("count", [100_000, 1_000])
def test_a_full_disk_is_an_error_of_ours(count, linear, tmp_path):
    """Full while the weights are written, or while the operators are."""
    graph = linear[0] if count > 50_000 else saved(tmp_path / "small", [RELU])
    with largest_file(count), pytest.raises(BuildError, match="OpenVINO cannot compile denoiser"):
        written(graph, tmp_path, tmp_path / "out.xml")
