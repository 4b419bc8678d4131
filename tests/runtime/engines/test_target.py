"""Targets check themselves, and have names that bundles and people use."""

import pytest

from denoisert.runtime.engines.target import (
    COMPILED,
    CPU,
    KINDS,
    OnnxRuntime,
    OpenVino,
    TensorRt,
    TensorRtRtx,
    Torch,
    check_device,
    engine_key,
    is_cuda,
    read_target,
    target_of_key,
)
from denoisert.runtime.errors import InvalidInput

KEYS = {
    "onnxruntime": OnnxRuntime(),
    "onnxruntime-int8": OnnxRuntime("int8"),
    "onnxruntime-float16": OnnxRuntime("float16", "cuda"),
    "openvino": OpenVino("float32"),
    "openvino-bfloat16": OpenVino(),
    "openvino-int8": OpenVino("int8"),
    "tensorrt-rtx-float16": TensorRtRtx(),
    "tensorrt-rtx": TensorRtRtx("float32"),
    "tensorrt-bfloat16": TensorRt("bfloat16"),
}


@pytest.mark.parametrize(("key", "target"), KEYS.items(), ids=list(KEYS))
def test_a_key_and_its_target(key, target):
    assert engine_key(target) == key
    assert target_of_key(key) == target


@pytest.mark.parametrize("key", ["", "onnxruntime-float8", "torch", "tensorrt_rtx", "openvino-"])
def test_a_key_of_another_version_has_no_target(key):
    assert target_of_key(key) is None


def test_every_dtype_of_every_kind_has_a_key_of_its_own():
    keys = [f"{kind.name} {dtype}" for kind in COMPILED.values() for dtype in kind.dtypes]
    made = {
        engine_key(read_target(f"{kind.name}:{dtype}"))
        for kind in COMPILED.values()
        for dtype in kind.dtypes
    }
    assert len(made) == len(keys)
    assert {engine_key(target_of_key(key)) for key in made} == made


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("onnxruntime", OnnxRuntime()),
        ("openvino", OpenVino("bfloat16")),
        ("openvino:float32", OpenVino("float32")),
        ("tensorrt-rtx", TensorRtRtx("float16")),
        ("tensorrt:bfloat16", TensorRt("bfloat16")),
    ],
)
def test_targets_are_read_as_they_are_typed(text, target):
    assert read_target(text) == target


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cuda", "give one of onnxruntime, openvino, tensorrt-rtx, tensorrt"),
        ("torch", "give one of onnxruntime"),
        ("openvino:float16", "openvino takes bfloat16, float32, int8"),
        ("tensorrt-rtx:int8", "tensorrt-rtx takes float16, bfloat16, float32"),
    ],
)
def test_what_cannot_be_compiled_for_is_refused(text, says):
    with pytest.raises(InvalidInput, match=says):
        read_target(text)


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        (OnnxRuntime, {"dtype": "int8", "device": "cuda"}, "give one of float32, float16"),
        (OnnxRuntime, {"dtype": "float16"}, "give one of float32, int8"),
        (OnnxRuntime, {"device": "gpu"}, 'give "cuda", "cuda:1" or "cpu"'),
        (OnnxRuntime, {"device": "cuda", "provider": "rocm"}, 'give "cuda" or "tensorrt"'),
        (OpenVino, {"dtype": "float16"}, "give one of bfloat16, float32, int8"),
        (TensorRtRtx, {"device": "cpu"}, 'give "cuda" or "cuda:1"'),
        (TensorRtRtx, {"dtype": "int8"}, "give one of float16"),
        (TensorRt, {"device": "cuda:one"}, 'give "cuda" or "cuda:1"'),
        (Torch, {"graphs": True}, "whole number"),
    ],
)
def test_a_target_that_cannot_be_is_refused(kind, fields, says):
    with pytest.raises(InvalidInput, match=says):
        kind(**fields)


def test_devices_have_names():
    assert [check_device(name) for name in (CPU, "cuda", "cuda:12")] == [CPU, "cuda", "cuda:12"]
    assert [is_cuda(name) for name in (CPU, "cuda", "cuda:1", "cuda:")] == [0, 1, 1, 0]
    for wrong in ("gpu", "cuda:-1", "CPU", ""):
        with pytest.raises(InvalidInput, match='give "cpu", "cuda" or "cuda:1"'):
            check_device(wrong)


def test_targets_are_values():
    assert len({TensorRtRtx(), TensorRtRtx("float16"), TensorRt(), OpenVino()}) == 3
    assert {kind.name for kind in KINDS.values()} == set(KINDS)
