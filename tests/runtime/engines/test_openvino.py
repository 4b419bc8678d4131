"""OpenVINO: ports, buckets, bound calls, and everything that it refuses."""

import gc
import weakref

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper

from denoisert.runtime.bundle.card import TimeShape
from denoisert.runtime.bundle.manifest import GraphEntry
from denoisert.runtime.engines.engine import LARGEST_BUCKET, Port
from denoisert.runtime.engines.openvino.failures import words
from denoisert.runtime.engines.openvino.forms import settings
from denoisert.runtime.engines.openvino.pieces import EVERY, OPEN, POWERS
from denoisert.runtime.errors import BuildError, EngineError, OutOfProfile
from tests.runtime.engines.openvino_graphs import Converted, convert, drawn
from tests.runtime.networks import perceptron

FORMS = pytest.mark.parametrize("lanes_of_a_call", [OPEN, POWERS, EVERY])


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Converted:
    folder = tmp_path_factory.mktemp("toy")
    return convert(perceptron().save(folder), folder, folder)


def saved(folder, node, **dims) -> Converted:
    """One operator; ports in the order of its own, those of sizes are int64."""
    kinds = {name: TensorProto.INT64 if name == "sizes" else TensorProto.FLOAT for name in dims}
    ports = [helper.make_tensor_value_info(name, kinds[name], dims[name]) for name in dims]
    graph = helper.make_graph(
        [helper.make_node(node, [*dims][:-1], [[*dims][-1]])], "graph", ports[:-1], ports[-1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    path = folder / f"{node}.onnx"
    onnx.save(model, path)
    return convert(path, folder, folder)


def test_ports_and_buckets_are_those_of_the_manifest(toy):
    engine = toy.engine()
    assert engine.inputs == (
        Port("latent", "float32", ("lanes", 2, 6, 5)),
        Port("time", "float32", ("lanes",)),
        Port("label", "int64", ("lanes",)),
    )
    assert engine.outputs == (Port("out_latent", "float32", ("lanes", 2, 6, 5)),)
    assert engine.buckets == tuple(range(1, LARGEST_BUCKET + 1))
    assert engine.workspace_bytes(4) == 0
    assert engine.note == ""


def test_a_fixed_batch_is_the_only_bucket(tmp_path):
    engine = convert(perceptron(batch=3).save(tmp_path), tmp_path, tmp_path).engine()
    assert engine.buckets == (3,)
    buffers = drawn(engine, 3)
    engine.bind(3, buffers).run()
    assert np.isfinite(buffers["out_latent"]).all()
    with pytest.raises(OutOfProfile, match=r"2 lanes asked for, .* \(3,\)"):
        engine.bind(2, drawn(engine, 2))


@FORMS
@pytest.mark.parametrize("lanes", [1, 2, 7, 16])
def test_a_bound_call_reads_and_writes_its_buffers(lanes, lanes_of_a_call, toy):
    engine, network = toy.engine(lanes=lanes_of_a_call), perceptron()
    buffers = drawn(engine, lanes)
    bound = engine.bind(lanes, buffers)
    assert not bound.is_capturable
    for seed in (1, 2):
        for name, values in drawn(engine, lanes, seed).items():
            buffers[name][...] = values
        bound.run()
        for lane in range(lanes):
            wanted = network.answer(
                buffers["latent"][lane].reshape(-1), buffers["time"][lane], buffers["label"][lane]
            )
            found = buffers["out_latent"][lane].reshape(-1)
            np.testing.assert_allclose(found, wanted, atol=1e-5)


@FORMS
def test_calls_on_slices_of_one_buffer_leave_the_rest_alone(lanes_of_a_call, toy):
    engine = toy.engine(lanes=lanes_of_a_call)
    whole = drawn(engine, 9)
    whole["out_latent"].fill(7.0)
    engine.bind(4, {name: values[3:7] for name, values in whole.items()}).run()
    assert np.all(whole["out_latent"][[0, 1, 2, 7, 8]] == 7.0)
    assert not np.any(whole["out_latent"][3:7] == 7.0)


def test_a_scalar_time_is_one_number(tmp_path):
    network = perceptron(time=TimeShape.SCALAR)
    engine = convert(network.save(tmp_path), tmp_path, tmp_path).engine()
    buffers = drawn(engine, 2)
    assert buffers["time"].shape == ()
    engine.bind(2, buffers).run()
    for lane in range(2):
        told = buffers["latent"][lane].reshape(-1), float(buffers["time"]), buffers["label"][lane]
        found = buffers["out_latent"][lane].reshape(-1)
        np.testing.assert_allclose(found, network.answer(*told), atol=1e-5)


@FORMS
def test_named_axes_are_fixed_by_size(lanes_of_a_call, tmp_path):
    dims = ("lanes", 2, "height", "width")
    engine = saved(tmp_path, "Neg", x=dims, y=dims).engine(lanes=lanes_of_a_call)
    with pytest.raises(OutOfProfile, match=r"Fix height, width by `Engine\.at`"):
        engine.bind(1, {})
    for height, width in ((4, 6), (8, 8), (4, 6)):
        view = engine.at({"height": height, "width": width, "depth": 3})
        assert view.at({"height": 1}) is view
        buffers = drawn(view, 3)
        view.bind(3, buffers).run()
        assert np.array_equal(buffers["y"], -buffers["x"])
    view.close()
    with pytest.raises(EngineError, match="closed"):
        engine.at({"height": 4, "width": 6}).bind(3, drawn(view, 3))


WRONG = {
    "shape": lambda b: b | {"latent": b["latent"][:, :, :, :4].copy()},
    "lanes": lambda b: b | {"latent": b["latent"][:3]},
    "dtype": lambda b: b | {"time": b["time"].astype(np.float64)},
    "label dtype": lambda b: b | {"label": b["label"].astype(np.int32)},
    "output": lambda b: b | {"out_latent": b["out_latent"][:3]},
    "contiguous": lambda b: b | {"time": np.zeros(8, np.float32)[::2]},
    "missing": lambda b: {name: v for name, v in b.items() if name != "label"},
}


@pytest.mark.parametrize("kind", WRONG)
def test_buffers_that_do_not_fit_are_refused(kind, toy):
    engine = toy.engine()
    with pytest.raises(OutOfProfile, match=r"latent|time|label"):
        engine.bind(4, WRONG[kind](drawn(engine, 4)))


@pytest.mark.parametrize("bucket", [0, 17, -1])
def test_lane_counts_beyond_the_buckets_are_refused(bucket, toy):
    engine = toy.engine()
    with pytest.raises(OutOfProfile, match=f"{bucket} lanes"):
        engine.bind(bucket, drawn(engine, 1))


def test_a_closed_engine_binds_nothing_and_frees_its_graph(toy):
    engine = toy.engine(lanes=OPEN)
    bound = engine.bind(1, drawn(engine, 1))
    graph = weakref.ref(engine._forms.at({}))
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match=r"closed\. Load it again"):
        engine.bind(1, drawn(engine, 1))
    bound.run()
    del bound
    gc.collect()
    assert graph() is None


@FORMS
def test_a_file_that_is_no_graph_is_refused(lanes_of_a_call, toy, tmp_path):
    path = tmp_path / "graph.xml"
    path.write_text("<net>")
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(BuildError, match=r"OpenVINO refuses graph\.xml: "):
        Converted(toy.onnx, toy.root, path, toy.entry).engine(lanes=lanes_of_a_call)


def test_weights_that_are_missing_are_refused(toy, tmp_path):
    path = tmp_path / "graph.xml"
    path.write_bytes(toy.xml.read_bytes())
    with pytest.raises(BuildError, match=r"graph\.xml: .*graph\.bin"):
        Converted(toy.onnx, toy.root, path, toy.entry).engine()


@FORMS
@pytest.mark.parametrize(
    "port",
    [
        Port("noise", "float32", ("lanes", 2, 6, 5)),
        Port("latent", "int64", ("lanes", 2, 6, 5)),
        Port("latent", "float32", ("lanes", 60)),
    ],
)
def test_ports_other_than_those_of_the_manifest_are_refused(port, lanes_of_a_call, toy):
    entry = GraphEntry("engine.xml", (), (port,), toy.entry.outputs)
    with pytest.raises(BuildError, match=rf"port '{port.name}', {port.dtype} .* Compile the model"):
        Converted(toy.onnx, toy.root, toy.xml, entry).engine(lanes=lanes_of_a_call)


def test_a_failure_while_running_carries_the_engines_own_words(toy, monkeypatch):
    def fail(*_: object, **options: object) -> None:
        raise RuntimeError("Exception from src/x.cpp:7:\nout of scratch\n")

    engine = toy.engine()
    buffers = drawn(engine, 2)
    bound = engine.bind(2, buffers)
    with monkeypatch.context() as patch:
        patch.setattr(openvino.InferRequest, "infer", fail)
        with pytest.raises(EngineError, match=r"^OpenVINO failed while running: out of scratch$"):
            bound.run()
    bound.run()
    assert np.isfinite(buffers["out_latent"]).all()


@pytest.mark.parametrize("lanes_of_a_call", [POWERS, EVERY])
def test_shapes_that_a_graph_cannot_have_are_refused_when_they_are_bound(lanes_of_a_call, tmp_path):
    ports = {"a": ("lanes", "n"), "b": ("lanes", "m"), "sum": ("lanes", "n")}
    engine = saved(tmp_path, "Add", **ports).engine(lanes=lanes_of_a_call)
    wrong, right = engine.at({"n": 3, "m": 4}), engine.at({"n": 3, "m": 3})
    with pytest.raises(BuildError, match=r"OpenVINO cannot bind 2 lanes: .*inconsistent"):
        wrong.bind(2, drawn(wrong, 2))
    buffers = drawn(right, 2)
    right.bind(2, buffers).run()
    assert np.array_equal(buffers["sum"], buffers["a"] + buffers["b"])


def test_words_have_no_lines_of_foreign_source():
    said = "Exception from src/cpp/core.cpp:109:\nCheck 'a < b' failed at src/x.cpp:7:\nno\n way"
    assert words(RuntimeError(said)) == "no way"


def test_every_setting_that_changes_numbers_is_given(toy):
    """Unset, the hint of a CPU with bfloat16 is bfloat16."""
    assert settings(3, "float32", 0)["INFERENCE_PRECISION_HINT"] == "f32"
    compiled = toy.engine(lanes=OPEN, threads=1)._forms.at({})
    assert compiled.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32
    assert compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE") == 0
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("NUM_STREAMS") == 1
    assert compiled.get_property("ENABLE_CPU_PINNING") is False
