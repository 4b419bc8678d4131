"""What keeps a target from running here is told before any of its libraries is touched."""

import pytest

from denoisert.runtime.bundle.manifest import EngineEntry
from denoisert.runtime.engines import driver, here
from denoisert.runtime.engines.here import (
    EXTRAS,
    PACKAGES,
    installed,
    obstacle,
    place_of,
    version_of,
)
from denoisert.runtime.engines.target import (
    KINDS,
    OnnxRuntime,
    OpenVino,
    TensorRt,
    TensorRtRtx,
    Torch,
)
from tests.runtime.engines.sets import BUILT, EVERYTHING, have

ENGINES = EngineEntry(BUILT, {})
FOR_ADA = EngineEntry(BUILT, {}, capabilities=("8.6", "8.9"))


def lacking(*names):
    return {name: version for name, version in EVERYTHING.items() if name not in names}


def test_every_target_has_packages_and_an_extra():
    assert set(PACKAGES) == set(EXTRAS) == set(KINDS)


@pytest.mark.parametrize(
    "target", [OnnxRuntime(), OnnxRuntime("int8"), OpenVino(), TensorRtRtx(), Torch("cpu"), Torch()]
)
def test_nothing_is_in_the_way_where_everything_is_there(monkeypatch, target):
    have(monkeypatch, EVERYTHING, "8.9")
    assert obstacle(target) == ""
    assert obstacle(target, EngineEntry(version_of(target), {})) == ""


@pytest.mark.parametrize(
    ("target", "without", "says"),
    [
        (OnnxRuntime(), "onnxruntime", r"needs ONNX Runtime.*pip install 'denoisert\[cpu\]'"),
        (OpenVino(), "openvino", r"needs openvino, not installed.*'denoisert\[openvino\]'"),
        (TensorRtRtx(), "tensorrt-rtx-cu13", r"needs tensorrt-rtx-cu13.*\[tensorrt-rtx\]"),
        (TensorRtRtx(), "torch", r"TensorRtRtx.* needs torch.*\[torch\]"),
        (TensorRt(), "tensorrt", r"needs tensorrt-cu13, not.*\[tensorrt\]"),
        (Torch("cpu"), "onnx", r"needs onnx, not installed"),
        (OnnxRuntime("float16", "cuda"), "onnxruntime-gpu", r"needs onnxruntime-gpu.*\[gpu\]"),
    ],
)
def test_what_is_not_installed_is_named_with_its_extra(monkeypatch, target, without, says):
    have(monkeypatch, lacking(without), "8.9")
    found = obstacle(target)
    assert found
    with pytest.raises(ValueError, match=says):
        raise ValueError(found)


def test_triton_is_needed_on_a_gpu_alone(monkeypatch):
    have(monkeypatch, lacking("triton"), "8.9")
    assert obstacle(Torch("cpu")) == ""
    assert "needs triton" in obstacle(Torch("cuda"))


def test_without_a_driver_no_engine_of_a_gpu_runs(monkeypatch):
    have(monkeypatch, EVERYTHING)
    assert "needs an NVIDIA GPU; the driver shows none" in obstacle(TensorRtRtx())
    assert obstacle(OpenVino()) == ""


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    have(monkeypatch, EVERYTHING, "8.9", "12.0")
    assert obstacle(TensorRtRtx(device="cuda:1")) == ""
    found = obstacle(TensorRtRtx(device="cuda:2"), FOR_ADA)
    assert found == "there is no cuda:2; the driver shows 2 GPU(s), from cuda:0 on."


@pytest.mark.parametrize("target", [TensorRtRtx(), TensorRt()])
def test_engines_of_another_version_are_refused(monkeypatch, target):
    package = PACKAGES[target.name][0]
    have(monkeypatch, {**EVERYTHING, package: "1.7.2"}, "8.9")
    found = obstacle(target, ENGINES)
    assert f"compiled by {target.name} {BUILT}, installed is 1.7.2" in found
    assert "compile again" in found


def test_a_cpu_library_reads_what_another_version_of_it_wrote(monkeypatch):
    have(monkeypatch, EVERYTHING)
    for target in (OnnxRuntime(), OpenVino()):
        assert obstacle(target, EngineEntry("0.1", {})) == ""


@pytest.mark.parametrize(
    ("gpus", "device", "is_taken"),
    [
        (("8.9",), "cuda", True),
        (("8.6", "8.0"), "cuda:0", True),
        (("8.0",), "cuda", False),
        (("8.6", "12.0"), "cuda:1", False),
        (("12.0", "8.9"), "cuda:1", True),
    ],
)
def test_engines_for_other_gpus_are_refused(monkeypatch, gpus, device, is_taken):
    have(monkeypatch, EVERYTHING, *gpus)
    found = obstacle(TensorRtRtx(device=device), FOR_ADA)
    assert (found == "") == is_taken
    if not is_taken:
        number = int(device.partition(":")[2] or 0)
        assert f"for compute capability 8.6, 8.9; {device} has {gpus[number]}" in found
        assert f"--capability {gpus[number]}" in found


def test_a_portable_engine_is_left_to_the_library(monkeypatch):
    have(monkeypatch, EVERYTHING, "9.0")
    assert obstacle(TensorRtRtx(), ENGINES) == ""


def test_the_version_is_that_of_the_first_package_that_is_there(monkeypatch):
    have(monkeypatch, {"onnxruntime-gpu": "1.31.1", "tensorrt-rtx-cu12": "1.6"})
    assert version_of(OnnxRuntime()) == "1.31.1"
    assert version_of(TensorRtRtx()) == "1.6"
    assert version_of(OpenVino()) is None


def test_places_in_words():
    assert place_of(OpenVino()) == "the CPU"
    assert place_of(TensorRtRtx(device="cuda:1")) == "cuda:1"


def test_a_machine_without_a_driver_has_no_gpus(monkeypatch):
    monkeypatch.setattr(driver, "LIBRARY", "libcuda-that-nobody-has.so.1")
    assert driver.capabilities() == ()


def test_this_machine_is_asked_itself():
    assert installed("denoisert")
    assert all(pair.replace(".", "").isdecimal() for pair in driver.capabilities())


@pytest.mark.parametrize("flags", [(), ("avx2", "avx512f")])
def test_int8_of_onnxruntime_needs_integer_instructions(monkeypatch, flags):
    monkeypatch.setattr(here, "instructions", lambda: flags)
    assert "saturate" in obstacle(OnnxRuntime("int8"))
    assert not obstacle(OnnxRuntime())


def test_int8_of_onnxruntime_runs_where_they_are(monkeypatch):
    monkeypatch.setattr(here, "instructions", lambda: ("avx2", "avx512_vnni"))
    assert not obstacle(OnnxRuntime("int8"))
