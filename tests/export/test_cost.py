"""What an engine is expected to take, against builds that were measured."""

import pytest

from denoisert.export.cost import Extent, engine_need, engine_needs
from denoisert.runtime.engines.target import OnnxRuntime, OpenVino, TensorRt, TensorRtRtx

MB = 10**6
RTX = TensorRtRtx("float16")

# TensorRT-RTX 1.7.1, float16, one profile; AMD EPYC, 2 cores, 2026-11-28: bytes of weights in
# float32, nodes, attentions; megabytes of memory and of the engine.
MEASURED = {
    "dit-5": (2 * 9.84, 49, 4, 308.8, 11.7),
    "dit-60": (2 * 113.3, 97, 8, 655.9, 115.8),
    "dit-100": (2 * 198.3, 169, 14, 962.4, 201.8),
    "conv-5": (2 * 9.45, 37, 0, 285.8, 10.4),
    "conv-100": (2 * 206.5, 127, 0, 901.2, 207.6),
    "emoji": (21.8, 371, 8, 418.0, 22.8),
}


@pytest.mark.parametrize("name", MEASURED)
def test_the_expectation_is_within_a_third_of_what_was_measured(name: str) -> None:
    weights, nodes, attentions, memory_mb, file_mb = MEASURED[name]
    need = engine_need("denoiser", Extent(int(weights * MB), nodes, attentions), RTX)
    assert need.memory_bytes / MB == pytest.approx(memory_mb, rel=0.3)
    assert need.disk_bytes / MB == pytest.approx(file_mb, rel=0.3)


def test_halves_take_half_of_the_bytes() -> None:
    extent = Extent(1000 * MB, 100, 0)
    half, whole = (engine_need("denoiser", extent, TensorRtRtx(d)) for d in ("float16", "float32"))
    assert whole.disk_bytes - half.disk_bytes == pytest.approx(1.006 * 500 * MB, rel=1e-3)
    assert (half.name, whole.name) == ("denoiser tensorrt-rtx-float16", "denoiser tensorrt-rtx")


def test_int8_is_for_the_denoiser() -> None:
    extent = Extent(400 * MB, 100, 0)
    denoiser, decoder = (
        engine_need(name, extent, OpenVino("int8")) for name in ("denoiser", "decoder")
    )
    assert decoder.disk_bytes - denoiser.disk_bytes == pytest.approx(300 * MB, rel=1e-3)


def test_every_profile_takes_its_time_and_no_weights() -> None:
    one, three = (
        engine_need("denoiser", Extent(100 * MB, 500, 20, profiles), RTX) for profiles in (1, 3)
    )
    assert three.seconds > 2 * one.seconds
    assert three.disk_bytes - one.disk_bytes < 10 * MB


def test_onnxruntime_compiles_nothing() -> None:
    need = engine_need("denoiser", Extent(100 * MB, 500, 20), OnnxRuntime())
    assert (need.memory_bytes, need.disk_bytes, need.seconds) == (0, 0, 0.0)
    assert engine_need("denoiser", Extent(100 * MB, 500, 20), OnnxRuntime("int8")).disk_bytes


def test_an_unknown_graph_is_guessed_from_its_weights() -> None:
    small, large = Extent.usual(5 * MB), Extent.usual(3_400 * MB)
    assert 100 < small.nodes < 200
    assert 1000 < large.nodes < 1500
    needs = engine_needs({"denoiser": 5 * MB, "decoder": MB}, [RTX, TensorRt(), OnnxRuntime()])
    assert [need.name for need in needs] == [
        *("denoiser tensorrt-rtx-float16", "decoder tensorrt-rtx-float16"),
        *("denoiser tensorrt-float16", "decoder tensorrt-float16"),
        *("denoiser onnxruntime", "decoder onnxruntime"),
    ]
