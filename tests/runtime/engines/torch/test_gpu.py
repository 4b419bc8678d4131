"""On a GPU: parity with the CPU, no memory that grows, and a captured call equals an eager one."""

import numpy as np
import pytest
import torch

from denoisert.runtime.engines.torch.engine import TorchEngine
from denoisert.runtime.errors import OutOfProfile
from tests.runtime.engines.torch.graphs import (
    convolution,
    draw,
    engine_of,
    outputs_of,
    perceptron,
    poisoned,
    relative,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a CUDA device"),
]
DTYPES = ["float32", "float16", "bfloat16"]
BOUND = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 8e-2}
"""Against float64 on the CPU; see `test_bundles.py` for the half types."""


@pytest.fixture(scope="module")
def digits(digits_bundle):
    return digits_bundle / "graphs" / "denoiser.onnx", digits_bundle


@pytest.fixture(autouse=True)
def full_float32():
    """Matrix products in float32, not in TF32, for the time of a test."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def given_of(digits):
    exact = TorchEngine(*digits, dtype="float64")
    buffers = draw(exact, 4)
    buffers["time"] /= 1000
    return buffers, outputs_of(exact, 4, buffers)["velocity"]


def on_gpu(engine, given):
    kinds = {port.name: getattr(torch, port.dtype) for port in engine.inputs}
    moved = {name: given[name].to(engine.device, kind) for name, kind in kinds.items()}
    return moved | poisoned(engine, 4, engine.device)


@pytest.mark.parametrize("dtype", DTYPES)
def test_answers_are_those_of_float64_on_the_cpu(dtype, digits):
    given, wanted = given_of(digits)
    engine = TorchEngine(*digits, device="cuda", dtype=dtype)
    assert engine.device == "cuda:0"
    found = outputs_of(engine, 4, on_gpu(engine, given))["velocity"]
    assert relative(found.cpu(), wanted) < BOUND[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_captured_call_equals_an_eager_one_bit_for_bit(dtype, digits):
    given, _ = given_of(digits)
    engine = TorchEngine(*digits, device="cuda", dtype=dtype)
    buffers = on_gpu(engine, given)
    bound = engine.bind(4, buffers)
    assert bound.is_capturable
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    for _ in range(3):
        bound.run(stream)
    stream.synchronize()
    wanted = buffers["velocity"].clone()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        bound.run(stream)
    buffers["velocity"].fill_(77)
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(buffers["velocity"], wanted)
    buffers["latent"].copy_(buffers["latent"].flip(0))
    graph.replay()
    torch.cuda.synchronize()
    assert not torch.equal(buffers["velocity"], wanted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_runs_ask_the_driver_for_no_memory(dtype, digits):
    given, _ = given_of(digits)
    engine = TorchEngine(*digits, device="cuda", dtype=dtype)
    bound = engine.bind(4, on_gpu(engine, given))
    for _ in range(3):
        bound.run()
    torch.cuda.synchronize()
    before = torch.cuda.memory_stats()
    for _ in range(50):
        bound.run()
    torch.cuda.synchronize()
    after = torch.cuda.memory_stats()
    for key in ("num_device_alloc", "allocated_bytes.all.current", "reserved_bytes.all.current"):
        assert after.get(key) == before.get(key), key


def test_planned_calls_ask_the_allocator_for_nothing(tmp_path):
    engine = engine_of(tmp_path, perceptron(), device="cuda")
    bound = engine.bind(4, draw(engine, 4, device="cuda"))
    bound.run()
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    bound.run()
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")
def test_runs_never_wait_for_the_device(digits):
    given, _ = given_of(digits)
    engine = TorchEngine(*digits, device="cuda")
    bound = engine.bind(4, on_gpu(engine, given))
    bound.run()
    torch.cuda.set_sync_debug_mode("error")
    try:
        bound.run()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("model", [perceptron, convolution])
def test_host_arrays_are_staged(model, tmp_path):
    engine = engine_of(tmp_path, model(), device="cuda")
    arrays = {name: x.cpu().numpy() for name, x in draw(engine, 3).items()}
    bound = engine.bind(3, arrays)
    assert not bound.is_capturable
    bound.run()
    wanted = outputs_of(engine_of(tmp_path, model()), 3, {"x": torch.from_numpy(arrays["x"])})
    np.testing.assert_allclose(arrays["y"], wanted["y"].numpy(), rtol=0, atol=1e-3)


def test_tensors_of_the_host_are_refused(tmp_path):
    engine = engine_of(tmp_path, perceptron(), device="cuda")
    with pytest.raises(OutOfProfile, match="is on cpu, the engine on cuda:0"):
        engine.bind(3, draw(engine, 3))


def test_what_is_no_stream_is_refused(tmp_path):
    engine = engine_of(tmp_path, perceptron(), device="cuda")
    bound = engine.bind(3, draw(engine, 3, device="cuda"))
    with pytest.raises(OutOfProfile, match=r"no torch\.cuda\.Stream"):
        bound.run(stream="default")
