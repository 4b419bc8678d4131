"""OpenVINO: the promises of every engine, types that stay, bits that do not depend on company."""

import gc
import os
import resource
import time
import tracemalloc
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
from denoisert.runtime.errors import BuildError, EngineError, OutOfProfile
from tests.runtime.engines.openvino_graphs import Converted, answer, convert, difference, drawn
from tests.runtime.networks import perceptron

OPEN, FIXED = 0, 2**40
FORMS = pytest.mark.parametrize("static_bytes", [OPEN, FIXED])
HALF_ERROR = 2.0**-8 * 4  # a rounding of bfloat16, and room for those of a few layers


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Converted:
    folder = tmp_path_factory.mktemp("toy")
    return convert(perceptron().save(folder), folder, folder)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def digits(request, digits_bundle, tmp_path_factory) -> Converted:
    folder = tmp_path_factory.mktemp(request.param)
    graph = digits_bundle / "graphs" / "denoiser.onnx"
    return convert(graph, digits_bundle, folder, request.param)


def sized(folder, name="latent", dims=("lanes", 2, "height", "width")) -> Converted:
    """y = 2 x for pictures of any size."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", [name, name], ["out"])],
        "graph",
        [value(name, TensorProto.FLOAT, dims)],
        [value("out", TensorProto.FLOAT, dims)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    path = folder / "sized.onnx"
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
def test_a_bound_call_reads_and_writes_its_buffers(lanes, static_bytes, toy):
    engine, network = toy.engine(static_bytes=static_bytes), perceptron()
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
def test_calls_on_slices_of_one_buffer_leave_the_rest_alone(static_bytes, toy):
    engine = toy.engine(static_bytes=static_bytes)
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
def test_named_axes_are_fixed_by_size(static_bytes, tmp_path):
    engine = sized(tmp_path).engine(static_bytes=static_bytes)
    with pytest.raises(OutOfProfile, match=r"Fix height, width by `Engine\.at`"):
        engine.bind(1, {})
    for height, width in ((4, 6), (8, 8), (4, 6)):
        view = engine.at({"height": height, "width": width, "depth": 3})
        assert view.at({"height": 1}) is view
        buffers = drawn(view, 3)
        view.bind(3, buffers).run()
        assert np.array_equal(buffers["out"], 2.0 * buffers["latent"])
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
    engine = toy.engine(static_bytes=OPEN)
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
def test_a_file_that_is_no_graph_is_refused(static_bytes, toy, tmp_path):
    path = tmp_path / "graph.xml"
    path.write_text("<net>")
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(BuildError, match=r"OpenVINO refuses graph\.xml: "):
        Converted(toy.onnx, toy.root, path, toy.entry).engine(static_bytes=static_bytes)


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
def test_ports_other_than_those_of_the_manifest_are_refused(port, static_bytes, toy):
    entry = GraphEntry("engine.xml", (), (port,), toy.entry.outputs)
    with pytest.raises(BuildError, match=rf"port '{port.name}', {port.dtype} .* Compile the model"):
        Converted(toy.onnx, toy.root, toy.xml, entry).engine(static_bytes=static_bytes)


@pytest.fixture
def sum_of_two(tmp_path) -> Converted:
    """a + b, which may have other widths as long as nobody adds them."""
    value = helper.make_tensor_value_info
    dims = {"a": ("lanes", "n"), "b": ("lanes", "m"), "sum": ("lanes", "n")}
    ports = [value(name, TensorProto.FLOAT, dims[name]) for name in dims]
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["sum"])], "graph", ports[:2], ports[2:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    path = tmp_path / "sum.onnx"
    onnx.save(model, path)
    return convert(path, tmp_path, tmp_path)


def test_a_failure_while_running_carries_the_engines_own_words(sum_of_two):
    engine = sum_of_two.engine(static_bytes=OPEN)
    wrong = engine.at({"n": 3, "m": 4})
    bound = wrong.bind(2, drawn(wrong, 2))
    with pytest.raises(EngineError, match=r"OpenVINO failed while running: .*inconsistent"):
        bound.run()
    right = engine.at({"n": 3, "m": 3})
    buffers = drawn(right, 2)
    right.bind(2, buffers).run()
    assert np.array_equal(buffers["sum"], buffers["a"] + buffers["b"])


def test_shapes_that_a_graph_cannot_have_are_refused_when_they_are_bound(sum_of_two):
    engine = sum_of_two.engine(static_bytes=FIXED).at({"n": 3, "m": 4})
    with pytest.raises(BuildError, match=r"OpenVINO cannot bind 2 lanes: .*inconsistent"):
        engine.bind(2, drawn(engine, 2))


def test_words_have_no_lines_of_foreign_source():
    said = "Exception from src/cpp/core.cpp:109:\nCheck 'a < b' failed at src/x.cpp:7:\nno\n way"
    assert words(RuntimeError(said)) == "no way"


def test_every_setting_that_changes_numbers_is_given(toy):
    """Unset, the hint of a CPU with bfloat16 is bfloat16."""
    assert settings(3, "float32", 0)["INFERENCE_PRECISION_HINT"] == "f32"
    compiled = toy.engine(static_bytes=OPEN, threads=1)._forms.at({})
    assert compiled.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32
    assert compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE") == 0
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("NUM_STREAMS") == 1
    assert compiled.get_property("ENABLE_CPU_PINNING") is False


@FORMS
def test_digits_equal_the_oracle_within_their_types(static_bytes, digits):
    engine, oracle = digits.engine(static_bytes=static_bytes), digits.oracle()
    buffers = drawn(engine, 3, seed=5)
    error = difference(answer(engine, 3, buffers), answer(oracle, 3, buffers))
    if digits.entry.dtype == "float32":
        assert error < 2e-6
    else:
        assert 1e-4 < error < HALF_ERROR  # it does compute in bfloat16


@FORMS
def test_lanes_do_not_depend_on_their_neighbours(static_bytes, digits):
    """A lane's bits are the same alone, among 2, 3, 8 and 16, beside others, and elsewhere."""
    engine = digits.engine(static_bytes=static_bytes)
    buffers = drawn(engine, 16, seed=7)
    (name,) = (port.name for port in engine.outputs)
    whole = answer(engine, 16, buffers)[name]
    for lanes in (1, 2, 3, 8):
        assert np.array_equal(answer(engine, lanes, buffers)[name], whole[-lanes:])
    turned = {key: np.roll(values, 5, axis=0) for key, values in buffers.items()}
    assert np.array_equal(answer(engine, 16, turned)[name], np.roll(whole, 5, axis=0))
    assert np.array_equal(answer(engine, 16, buffers)[name], whole)


def test_a_hint_narrows_a_graph_that_is_written_in_float32(digits):
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("needs a CPU that computes in bfloat16")
    buffers = drawn(digits.oracle(), 2)
    wanted = answer(digits.engine(), 2, buffers)
    found = answer(digits.engine(hint="bfloat16"), 2, buffers)
    assert 1e-4 < difference(found, wanted) < 4 * HALF_ERROR


@FORMS
def test_running_allocates_nothing_that_stays(static_bytes, toy):
    engine = toy.engine(static_bytes=static_bytes)
    bound = engine.bind(2, drawn(engine, 2))
    tracemalloc.start()
    for _ in range(100):
        bound.run()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(2000):
        bound.run()
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32768  # the binding's answers, before they are let go of
    assert after - before < 16384  # 8 bytes a call


def test_an_idle_engine_uses_no_processor_time(toy):
    may_use = os.sched_getaffinity(0)
    engine = toy.engine(threads=2)
    engine.bind(2, drawn(engine, 2)).run()
    time.sleep(0.05)
    start = resource.getrusage(resource.RUSAGE_SELF)
    time.sleep(0.4)
    end = resource.getrusage(resource.RUSAGE_SELF)
    assert end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime < 0.1
    assert os.sched_getaffinity(0) == may_use  # it pins no thread of ours
