"""ONNX Runtime: ports, buckets, bound calls, and everything it refuses."""

import gc
import weakref

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from denoisert.runtime.bundle.card import TimeShape
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.ort import LARGEST_BUCKET, PROVIDER, OrtEngine
from denoisert.runtime.errors import BuildError, EngineError, FellBack, OutOfProfile
from denoisert.runtime.layout import Part, StateLayout
from tests.runtime.networks import perceptron


def saved(folder, nodes, inputs, outputs, weights=()):
    """An ONNX file of float32 ports given as name -> dimensions."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "graph",
        [value(name, TensorProto.FLOAT, dims) for name, dims in inputs.items()],
        [value(name, TensorProto.FLOAT, dims) for name, dims in outputs.items()],
        list(weights),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = folder / "graph.onnx"
    onnx.save(model, path)
    return path


def identity(folder, dims):
    node = helper.make_node("Identity", ["x"], ["y"])
    return saved(folder, [node], {"x": dims}, {"y": dims})


def buffers(engine, lanes):
    return {port.name: port.buffer(lanes) for port in (*engine.inputs, *engine.outputs)}


def test_ports_and_buckets_of_a_dynamic_graph(tmp_path):
    engine = perceptron().denoiser(tmp_path).engine
    assert engine.inputs == (
        Port("latent", "float32", ("lanes", 2, 6, 5)),
        Port("time", "float32", ("lanes",)),
        Port("label", "int64", ("lanes",)),
    )
    assert engine.outputs == (Port("out_latent", "float32", ("lanes", 2, 6, 5)),)
    assert engine.buckets == tuple(range(1, LARGEST_BUCKET + 1))
    assert engine.workspace_bytes(4) == 0


def test_a_fixed_batch_is_the_only_bucket(tmp_path):
    engine = perceptron(batch=3).denoiser(tmp_path).engine
    assert engine.buckets == (3,)
    with pytest.raises(OutOfProfile, match=r"2 lanes asked for, .* \(3,\)"):
        engine.bind(2, buffers(engine, 2))


@pytest.mark.parametrize("lanes", [1, 2, 7, 16])
def test_a_bound_call_reads_and_writes_its_buffers(lanes, tmp_path):
    toy = perceptron(seed=lanes)
    engine = toy.denoiser(tmp_path, threads=2).engine
    rng = np.random.default_rng(lanes)
    fixed = buffers(engine, lanes)
    bound = engine.bind(lanes, fixed)
    assert not bound.is_capturable
    for _ in range(2):
        fixed["latent"][:] = rng.standard_normal(fixed["latent"].shape)
        fixed["time"][:] = rng.uniform(size=lanes)
        fixed["label"][:] = rng.integers(0, 10, lanes)
        fixed["out_latent"].fill(np.nan)
        bound.run()
        for lane in range(lanes):
            wanted = toy.answer(
                fixed["latent"][lane].reshape(-1), fixed["time"][lane], fixed["label"][lane]
            )
            np.testing.assert_allclose(fixed["out_latent"][lane].reshape(-1), wanted, atol=1e-5)


def test_calls_on_slices_of_one_buffer_leave_the_rest_alone(tmp_path):
    engine = perceptron().denoiser(tmp_path).engine
    whole = buffers(engine, 9)
    whole["out_latent"].fill(7.0)
    engine.bind(4, {name: values[3:7] for name, values in whole.items()}).run()
    assert np.all(whole["out_latent"][[0, 1, 2, 7, 8]] == 7.0)
    assert not np.any(whole["out_latent"][3:7] == 7.0)


@pytest.mark.parametrize("dims", [[], [1]])
def test_a_scalar_time_is_one_number(dims, tmp_path):
    engine = perceptron(time=TimeShape.SCALAR).denoiser(tmp_path).engine
    port = next(port for port in engine.inputs if port.name == "time")
    assert port.shape(5) == ()
    assert Port("time", "float32", tuple(dims)).shape(5) == tuple(dims)


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
def test_buffers_that_do_not_fit_are_refused(kind, tmp_path):
    engine = perceptron().denoiser(tmp_path).engine
    with pytest.raises(OutOfProfile, match=r"latent|time|label"):
        engine.bind(4, WRONG[kind](buffers(engine, 4)))


@pytest.mark.parametrize("bucket", [0, 17, -1])
def test_buckets_that_do_not_exist_are_refused(bucket, tmp_path):
    engine = perceptron().denoiser(tmp_path).engine
    with pytest.raises(OutOfProfile, match=f"{bucket} lanes asked for"):
        engine.bind(bucket, {})


@pytest.mark.parametrize("content", [b"", b"no graph at all", None], ids=["empty", "text", "cut"])
def test_broken_files_are_build_errors_with_their_name(content, tmp_path):
    path = identity(tmp_path, ["lanes", 4])
    path.write_bytes(path.read_bytes()[:40] if content is None else content)
    with pytest.raises(BuildError, match=r"refuses graph\.onnx"):
        OrtEngine(path, tmp_path, threads=1)


def test_unknown_operators_are_build_errors(tmp_path):
    node = helper.make_node("NoSuchOperator", ["x"], ["y"])
    path = saved(tmp_path, [node], {"x": ["lanes", 2]}, {"y": ["lanes", 2]})
    with pytest.raises(BuildError, match="NoSuchOperator"):
        OrtEngine(path, tmp_path, threads=1)


def test_a_dtype_that_nothing_feeds_is_a_build_error(tmp_path):
    value = helper.make_tensor_value_info
    node = helper.make_node("Identity", ["x"], ["y"])
    ports = [value(name, TensorProto.STRING, ["lanes", 2]) for name in "xy"]
    graph = helper.make_graph([node], "graph", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "graph.onnx")
    with pytest.raises(BuildError, match=r"x is a tensor\(string\)"):
        OrtEngine(tmp_path / "graph.onnx", tmp_path, threads=1)


@pytest.mark.parametrize("dims", [["lanes", None], [2, None]])
def test_beside_the_first_dimension_only_named_ones_may_vary(dims, tmp_path):
    with pytest.raises(BuildError, match="only those with a name may vary"):
        OrtEngine(identity(tmp_path, dims), tmp_path, threads=1)


def test_a_first_dimension_without_a_name_varies(tmp_path):
    engine = OrtEngine(identity(tmp_path, [None, 2]), tmp_path, threads=1)
    assert engine.outputs == (Port("y", "float32", ("lanes", 2)),)
    assert len(engine.buckets) == LARGEST_BUCKET


def test_outputs_need_a_row_per_lane(tmp_path):
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    path = saved(tmp_path, [node], {"x": ["lanes", 2]}, {"y": []})
    with pytest.raises(BuildError, match="scalar"):
        OrtEngine(path, tmp_path, threads=1)


def test_outputs_of_different_batches_are_refused(tmp_path):
    nodes = [helper.make_node("Split", ["x", "at"], ["y", "z"], axis=0)]
    weights = [numpy_helper.from_array(np.array([1, 3]), "at")]
    path = saved(tmp_path, nodes, {"x": [4, 2]}, {"y": [1, 2], "z": [3, 2]}, weights)
    with pytest.raises(BuildError, match=r"different fixed batch sizes \[1, 3\]"):
        OrtEngine(path, tmp_path, threads=1)


def external(folder):
    """A graph in one folder whose weights lie in another."""
    weight = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = saved(folder, [node], {"x": ["lanes", 2]}, {"y": ["lanes", 3]}, [weight])
    (folder / "graphs").mkdir()
    (folder / "weights").mkdir()
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights/w.bin", size_threshold=0)
    return path.rename(folder / "graphs" / "graph.onnx")


def test_external_weights_are_relative_to_the_root(tmp_path):
    engine = OrtEngine(external(tmp_path), tmp_path, threads=1)
    fixed = {"x": np.array([[1.0, 10.0]], np.float32), "y": np.zeros((1, 3), np.float32)}
    engine.bind(1, fixed).run()
    assert fixed["y"].tolist() == [[30.0, 41.0, 52.0]]


def test_missing_external_weights_are_a_build_error(tmp_path):
    path = external(tmp_path)
    (tmp_path / "weights" / "w.bin").unlink()
    with pytest.raises(BuildError, match=r"graph\.onnx"):
        OrtEngine(path, tmp_path, threads=1)


def test_a_provider_that_fell_back_is_refused(tmp_path, monkeypatch):
    class Elsewhere(onnxruntime.InferenceSession):
        def get_providers(self):
            return ["SomeExecutionProvider", PROVIDER]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Elsewhere)
    with pytest.raises(FellBack, match="SomeExecutionProvider"):
        OrtEngine(identity(tmp_path, ["lanes", 2]), tmp_path, threads=1)


def test_a_failure_while_running_carries_the_engines_own_words(tmp_path):
    """A label beyond the table of labels, which no request can ask for."""
    engine = perceptron().denoiser(tmp_path).engine
    fixed = buffers(engine, 2)
    bound = engine.bind(2, fixed)
    fixed["label"][:] = 99
    with pytest.raises(EngineError, match=r"ONNX Runtime failed while running: .*Gather"):
        bound.run()
    fixed["label"][:] = 1
    bound.run()
    assert np.isfinite(fixed["out_latent"]).all()


def test_a_closed_engine_binds_nothing_and_frees_its_session(tmp_path):
    engine = perceptron().denoiser(tmp_path).engine
    bound = engine.bind(1, buffers(engine, 1))
    session = weakref.ref(engine._opened.session)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.bind(1, buffers(engine, 1))
    del bound
    gc.collect()
    assert session() is None


def test_lanes_do_not_depend_on_their_neighbours(tmp_path):
    """The bits of a lane are the same in a call of 1 and of 16, with 1 thread and with 2."""
    rng = np.random.default_rng(5)
    shape = (4, 8, 8)
    toy = perceptron(layout=StateLayout((Part("latent", shape),)))
    inputs = {
        "latent": rng.standard_normal((16, *shape)).astype(np.float32),
        "time": rng.uniform(size=16).astype(np.float32),
        "label": rng.integers(0, 10, 16),
    }
    found = []
    for threads in (1, 2):
        engine = toy.denoiser(tmp_path, threads=threads).engine
        for lanes in (1, 3, 16):
            fixed = buffers(engine, lanes)
            for name, values in inputs.items():
                fixed[name][:] = values[:lanes]
            engine.bind(lanes, fixed).run()
            found.append(fixed["out_latent"][0].copy())
    assert all(np.array_equal(found[0], other) for other in found)
