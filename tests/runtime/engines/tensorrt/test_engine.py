"""The engine: refused without a GPU before its library is asked; run where there is one."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from denoisert.runtime.engines import driver
from denoisert.runtime.engines.profile import Profile
from denoisert.runtime.engines.target import TensorRt, TensorRtRtx
from denoisert.runtime.engines.tensorrt.engine import TensorRtEngine
from denoisert.runtime.engines.tensorrt.opened import DTYPES, cuda_device
from denoisert.runtime.errors import BuildError, EngineError, Incompatible, OutOfProfile
from tests.export.targets.tensorrt.graphs import DYNAMIC, STATIC, convolution, relu
from tests.runtime.engines.tensorrt.plans import compiled

HAS_GPU = bool(driver.capabilities())
ON_GPU = [
    pytest.mark.tensorrt,
    pytest.mark.skipif(not HAS_GPU, reason="needs an RTX GPU"),
]
TOLERANCE = 2e-2  # float16 inside, beside the same float16 graph on the CPU


@pytest.mark.skipif(torch.cuda.is_available(), reason="wants no GPU")
@pytest.mark.parametrize("target", [TensorRtRtx(), TensorRt("float32", "cuda:1")])
def test_without_a_device_the_library_is_not_asked(target, tmp_path):
    path, entry = compiled(relu(tmp_path), (DYNAMIC,))
    with pytest.raises(Incompatible, match=rf"{target.device} was asked for.*no CUDA device"):
        TensorRtEngine(path, entry, target)
    with pytest.raises(Incompatible, match="CPU target"):
        cuda_device(target.device)


def test_every_dtype_of_a_port_has_a_name_of_the_library():
    """What the library has beside is no port of a network."""
    from denoisert.runtime.engines.tensorrt.binding import RTX

    known = set(RTX.load().DataType.__members__)
    assert set(DTYPES) < known
    assert known - set(DTYPES) == {"FP8", "INT4", "FP4", "E8M0"}


def buffers(engine, lanes, seed=0):
    """Tensors on the GPU; outputs are poisoned."""
    generator = torch.Generator(device="cuda").manual_seed(seed)
    found = {
        port.name: torch.randn(port.shape(lanes), generator=generator, device="cuda")
        for port in engine.inputs
    }
    for port in engine.outputs:
        found[port.name] = torch.full(port.shape(lanes), torch.nan, device="cuda")
    return found


def expected(graph, found):
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": found["x"].cpu().numpy()})[0]


class TestOnGpu:
    pytestmark = ON_GPU

    @pytest.fixture
    def graph(self, tmp_path):
        return convolution(tmp_path)

    @pytest.fixture
    def engine(self, graph, tmp_path):
        path, entry = compiled(graph, (DYNAMIC, STATIC))
        engine = TensorRtEngine(path, entry, TensorRtRtx(), cache=tmp_path / "cache")
        yield engine
        engine.close()

    @pytest.mark.parametrize("lanes", [1, 2, 4])
    def test_a_call_equals_the_oracle(self, lanes, engine, graph):
        found = buffers(engine, lanes)
        bound = engine.bind(lanes, found)
        bound.run(torch.cuda.current_stream())
        torch.cuda.synchronize()
        wanted = expected(graph, found)
        error = np.abs(found["y"].cpu().numpy() - wanted).max() / np.abs(wanted).max()
        assert error < TOLERANCE

    def test_a_captured_call_equals_an_eager_one(self, engine):
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            found = buffers(engine, 2)
            bound = engine.bind(2, found)
            assert bound.is_capturable
            bound.run(stream)
            eager = found["y"].clone()
            recorded = torch.cuda.CUDAGraph()
            with torch.cuda.graph(recorded, stream=stream):
                bound.run(stream)
            found["y"].fill_(torch.nan)
            recorded.replay()
        stream.synchronize()
        assert torch.equal(found["y"], eager)

    def test_host_buffers_are_copied(self, engine, graph):
        found = {name: tensor.cpu().numpy() for name, tensor in buffers(engine, 2).items()}
        bound = engine.bind(2, found)
        assert not bound.is_capturable
        bound.run()
        wanted = expected(graph, {"x": torch.from_numpy(found["x"])})
        assert np.abs(found["y"] - wanted).max() / np.abs(wanted).max() < TOLERANCE

    def test_lanes_outside_and_closed_engines_are_refused(self, engine):
        assert engine.buckets == (1, 2, 3, 4)
        assert engine.workspace_bytes(2) >= 0
        with pytest.raises(OutOfProfile, match="5 lanes asked for"):
            engine.bind(5, {})
        found = buffers(engine, 2)
        engine.close()
        engine.close()
        with pytest.raises(EngineError, match="closed"):
            engine.bind(2, found)

    def test_kernels_are_kept_and_read_again(self, engine, graph, tmp_path):
        engine.bind(2, buffers(engine, 2)).run()
        torch.cuda.synchronize()
        engine.close()
        (kept,) = (tmp_path / "cache" / "kernels").iterdir()
        before = kept.stat().st_mtime_ns
        path, entry = compiled(graph, (DYNAMIC, STATIC))
        again = TensorRtEngine(path, entry, TensorRtRtx(), cache=tmp_path / "cache")
        again.bind(2, buffers(again, 2)).run()
        torch.cuda.synchronize()
        again.close()
        assert kept.stat().st_mtime_ns == before

    def test_other_ports_and_profiles_are_refused(self, graph):
        path, entry = compiled(graph, (DYNAMIC,))
        renamed = replace(entry, inputs=(replace(entry.inputs[0], name="z"),))
        with pytest.raises(BuildError, match="inputs and outputs"):
            TensorRtEngine(path, renamed, TensorRtRtx())
        more = replace(entry, profiles=(DYNAMIC, Profile({"lanes": (1, 1, 1)})))
        with pytest.raises(BuildError, match="1 profiles, 2 by the manifest"):
            TensorRtEngine(path, more, TensorRtRtx())
