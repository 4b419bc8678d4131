"""The engine: ports, buckets, devices, and the same manners as every other engine."""

import gc
import weakref

import numpy as np
import onnx
import pytest
import torch

from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.ort import OrtEngine
from denoisert.runtime.engines.rows import RowCalls
from denoisert.runtime.engines.torch.engine import LARGEST_BUCKET, TorchEngine
from denoisert.runtime.errors import BuildError, EngineError, OutOfProfile
from tests.runtime.engines.torch.graphs import (
    draw,
    engine_of,
    model_of,
    node,
    outputs_of,
    perceptron,
)
from tests.runtime.networks import perceptron as denoiser


def both(folder):
    """A toy denoiser in ONNX Runtime and in torch."""
    ort = denoiser().denoiser(folder).engine
    (path,) = folder.glob("*.onnx")
    return ort, TorchEngine(path, folder)


def test_ports_and_buckets_are_those_of_onnx_runtime(tmp_path):
    ort, engine = both(tmp_path)
    assert engine.inputs == ort.inputs
    assert engine.outputs == ort.outputs
    assert engine.buckets == ort.buckets == tuple(range(1, LARGEST_BUCKET + 1))
    assert engine.device == "cpu"


@pytest.mark.parametrize("lanes", [1, 2, 3, 16])
def test_answers_are_those_of_onnx_runtime(lanes, tmp_path):
    ort, engine = both(tmp_path)
    ports = (*ort.inputs, *ort.outputs)
    buffers = {port.name: port.buffer(lanes) for port in ports}
    rng = np.random.default_rng(lanes)
    buffers["latent"][:] = rng.standard_normal(buffers["latent"].shape)
    buffers["time"][:] = rng.uniform(size=lanes)
    buffers["label"][:] = rng.integers(0, 10, lanes)
    ort.bind(lanes, buffers).run()
    wanted = buffers["out_latent"].copy()
    buffers["out_latent"].fill(np.nan)
    engine.bind(lanes, buffers).run()
    np.testing.assert_allclose(buffers["out_latent"], wanted, rtol=0, atol=1e-5)


def test_calls_on_slices_of_one_buffer_leave_the_rest_alone(tmp_path):
    engine = engine_of(tmp_path, perceptron())
    whole = draw(engine, 9)
    engine.bind(4, {name: values[3:7] for name, values in whole.items()}).run()
    assert (whole["y"][[0, 1, 2, 7, 8]] == 77).all()
    assert not (whole["y"][3:7] == 77).any()


def test_padding_lanes_do_not_change_the_others(tmp_path):
    engine = engine_of(tmp_path, perceptron())
    calls = RowCalls(engine, lanes=4)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((3, 5, 3)).astype(np.float32)
    found = calls.run({"x": rows})["y"].copy()
    alone = [calls.run({"x": row[None]})["y"][0].copy() for row in rows]
    np.testing.assert_allclose(found, np.stack(alone), rtol=0, atol=1e-5)


def test_lanes_that_change_places_take_their_answers_along(tmp_path):
    engine = engine_of(tmp_path, perceptron())
    buffers = draw(engine, 4)
    order = torch.tensor([2, 0, 3, 1])
    wanted = outputs_of(engine, 4, buffers)["y"][order]
    found = outputs_of(engine, 4, {"x": buffers["x"][order].contiguous()})["y"]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    assert (wanted - wanted[[1, 0, 3, 2]]).abs().max() > 0.1


def test_a_fixed_batch_is_the_only_bucket(tmp_path):
    model = model_of([node("Relu", "x", "y")], {"x": [3, 2]}, {"y": [3, 2]})
    engine = engine_of(tmp_path, model)
    assert engine.buckets == (3,)
    with pytest.raises(OutOfProfile, match=r"2 lanes asked for, .* \(3,\)"):
        engine.bind(2, draw(engine, 3))


@pytest.mark.parametrize("dims", [[], [1]])
def test_a_scalar_time_is_one_number(dims, tmp_path):
    nodes = [node("Mul", "x time", "y")]
    ports = {"x": ["lanes", 2], "time": dims}, {"y": ["lanes", 2]}
    engine = engine_of(tmp_path, model_of(nodes, *ports), dtype="float16")
    assert engine.inputs[1] == Port("time", "float32", tuple(dims))
    buffers = draw(engine, 3)
    buffers["time"].fill_(2.0)
    assert torch.equal(outputs_of(engine, 3, buffers)["y"], 2 * buffers["x"])


@pytest.mark.parametrize("bucket", [0, 17, -1])
@pytest.mark.parametrize("method", ["bind", "function", "workspace_bytes"])
def test_buckets_that_do_not_exist_are_refused(method, bucket, tmp_path):
    engine = engine_of(tmp_path, perceptron())
    arguments = ({},) if method == "bind" else ()
    with pytest.raises(OutOfProfile, match=f"{bucket} lanes asked for"):
        getattr(engine, method)(bucket, *arguments)


def test_buffers_that_do_not_fit_are_refused(tmp_path):
    engine = engine_of(tmp_path, perceptron())
    with pytest.raises(OutOfProfile, match=r"x takes float32 \(4, 5, 3\)"):
        engine.bind(4, draw(engine, 3))


def test_a_closed_engine_refuses_and_its_calls_live_on(tmp_path):
    engine = engine_of(tmp_path, perceptron())
    buffers = draw(engine, 2)
    bound = engine.bind(2, buffers)
    engine.close()
    engine.close()
    for call in (lambda: engine.bind(2, buffers), lambda: engine.function(2)):
        with pytest.raises(EngineError, match="the engine is closed"):
            call()
    bound.run()
    assert not (buffers["y"] == 77).any()


def test_weights_go_with_the_last_call(tmp_path):
    engine = engine_of(tmp_path, perceptron())
    bound = engine.bind(2, draw(engine, 2))
    kept = weakref.ref(next(iter(engine._plans._constants.values())))
    engine.close()
    gc.collect()
    assert kept() is not None
    del bound
    gc.collect()
    assert kept() is None


def test_buckets_share_their_weights(tmp_path):
    engine = engine_of(tmp_path, perceptron(), dtype="float16")
    engine.bind(2, draw(engine, 2))
    count = len(engine._plans._constants)
    engine.bind(3, draw(engine, 3))
    assert len(engine._plans._constants) == count


def test_outputs_of_different_fixed_batches_are_refused(tmp_path):
    nodes = [node("Relu", "x", "y"), node("Transpose", "x", "z")]
    model = model_of(nodes, {"x": [3, 2]}, {"y": [3, 2], "z": [2, 3]})
    with pytest.raises(BuildError, match=r"different fixed batch sizes \[2, 3\]"):
        engine_of(tmp_path, model)


def test_a_scalar_output_is_refused(tmp_path):
    nodes = [node("ReduceSum", "x", "y", keepdims=0)]
    with pytest.raises(BuildError, match="an output of the graph is a scalar"):
        engine_of(tmp_path, model_of(nodes, {"x": ["lanes", 2]}, {"y": []}))


@pytest.mark.parametrize("device", ["cuda:99", "nonsense"])
def test_devices_that_are_not_there_are_refused(device, tmp_path):
    with pytest.raises(BuildError, match=f"device '{device}' asked for"):
        engine_of(tmp_path, perceptron(), device=device)


def test_types_that_nobody_computes_in_are_refused(tmp_path):
    with pytest.raises(BuildError, match="'int8' asked for"):
        engine_of(tmp_path, perceptron(), dtype="int8")


def test_an_integer_graph_works_in_every_type(tmp_path):
    nodes = [node("Add", "i_x i_x", "i_y")]
    ports = {"i_x": ["lanes", 3]}, {"i_y": ["lanes", 3]}
    for dtype in ("float32", "bfloat16"):
        engine = engine_of(tmp_path, model_of(nodes, *ports), dtype=dtype)
        buffers = draw(engine, 2)
        assert torch.equal(outputs_of(engine, 2, buffers)["i_y"], 2 * buffers["i_x"])


def test_weights_beside_the_graph_are_found_from_the_root(tmp_path):

    root = tmp_path / "bundle"
    (root / "graphs").mkdir(parents=True)
    (root / "weights").mkdir()
    model = perceptron(width=64)
    path = root / "graphs" / "g.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    (root / "graphs" / "w.bin").rename(root / "w.bin")
    engine = TorchEngine(path, root)
    buffers = draw(engine, 2)
    wanted = outputs_of(engine_of(tmp_path, perceptron(width=64)), 2, buffers)["y"]
    assert torch.equal(outputs_of(engine, 2, buffers)["y"], wanted)
    (root / "w.bin").write_bytes((root / "w.bin").read_bytes()[:-4])
    with pytest.raises(BuildError, match="The file is truncated"):
        TorchEngine(path, root)


def test_the_oracle_reads_the_same_file(tmp_path):
    engine = engine_of(tmp_path, perceptron())
    ort = OrtEngine(tmp_path / "graph.onnx", tmp_path, threads=1)
    assert (ort.inputs, ort.outputs) == (engine.inputs, engine.outputs)
