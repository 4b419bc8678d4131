"""ONNX Runtime on CUDA: it runs on the provider that is asked for, or it refuses."""

from pathlib import Path

import onnxruntime
import pytest

from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines import ort_cuda
from denoisert.runtime.engines.ort_cuda import PROVIDERS, open_session
from denoisert.runtime.engines.target import OnnxRuntime
from denoisert.runtime.errors import BuildError, FellBack, InvalidInput
from tests.runtime.bundles import compiled
from tests.runtime.networks import perceptron


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(compiled(perceptron(), tmp_path_factory.mktemp("toy")))


def graph(bundle: Bundle) -> Path:
    return bundle.root / bundle.manifest.engines["onnxruntime"].graphs["denoiser"].path


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_that_is_not_there_is_no_cpu(bundle: Bundle, provider: str) -> None:
    if PROVIDERS[provider] in onnxruntime.get_available_providers():
        pytest.skip("wants an ONNX Runtime without CUDA")
    target = OnnxRuntime("float32", "cuda:1", provider)
    with pytest.raises(FellBack, match=rf"{PROVIDERS[provider]}.*denoisert\[gpu\]"):
        open_session(graph(bundle), bundle.root, target, 0)


def test_a_listed_provider_that_does_not_start_is_refused(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of providers says what was compiled in, not what works: the session has to tell."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("wants an ONNX Runtime without CUDA")
    listed = [*PROVIDERS.values(), "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    refused = pytest.raises((BuildError, FellBack), match="CUDAExecutionProvider")
    with pytest.warns(UserWarning, match="not in available provider"), refused:
        open_session(graph(bundle), bundle.root, OnnxRuntime(device="cuda"), 0)


@pytest.mark.parametrize(
    "wrong", [{"dtype": "float16"}, {"device": "gpu"}, {"provider": "cpu"}, {"dtype": "bfloat16"}]
)
def test_what_it_cannot_do_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="give"):
        OnnxRuntime(**wrong)


@pytest.mark.gpu
def test_it_equals_the_cpu(bundle: Bundle) -> None:
    """Runs where onnxruntime-gpu is installed instead of onnxruntime."""
    torch = pytest.importorskip("torch")
    if PROVIDERS["cuda"] not in onnxruntime.get_available_providers():
        pytest.skip("wants onnxruntime-gpu")
    from denoisert.runtime.engines.ort import OrtEngine

    gpu = ort_cuda.OrtCudaEngine(graph(bundle), bundle.root, OnnxRuntime(device="cuda"))
    cpu = OrtEngine(graph(bundle), bundle.root, threads=1)
    host = {port.name: port.buffer(3) for port in (*cpu.inputs, *cpu.outputs)}
    for port in cpu.inputs:
        host[port.name] += 1
    there = {name: torch.from_numpy(array).cuda() for name, array in host.items()}
    cpu.bind(3, host).run()
    gpu.bind(3, there).run()
    torch.cuda.synchronize()
    for port in cpu.outputs:
        torch.testing.assert_close(there[port.name].cpu(), torch.from_numpy(host[port.name]))
