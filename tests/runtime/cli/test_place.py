"""--device, --target and --dtype together mean one place, or are refused."""

import argparse

import pytest

from denoisert.runtime.cli import place
from denoisert.runtime.engines.target import OnnxRuntime, OpenVino, TensorRt, TensorRtRtx, Torch
from denoisert.runtime.errors import InvalidInput


def asked(*words: str) -> object:
    parser = argparse.ArgumentParser()
    place.add_options(parser)
    return place.target(parser.parse_args(words))


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("", "cpu"),
        ("--device cpu", "cpu"),
        ("--device cuda:1", "cuda:1"),
        ("--target onnxruntime", OnnxRuntime()),
        ("--target onnxruntime --dtype int8", OnnxRuntime("int8")),
        ("--target onnxruntime --dtype float16 --device cuda", OnnxRuntime("float16", "cuda")),
        ("--target openvino", OpenVino()),
        ("--target openvino --device cpu --dtype float32", OpenVino("float32")),
        ("--target torch", Torch("cpu")),
        ("--device cuda --dtype float16", Torch("cuda", "float16")),
        ("--target torch --device cuda --dtype bfloat16", Torch("cuda", "bfloat16")),
        ("--target tensorrt-rtx", TensorRtRtx()),
        ("--target tensorrt --device cuda:1", TensorRt("float16", "cuda:1")),
    ],
)
def test_options_mean_a_place(words: str, meaning: object) -> None:
    assert asked(*words.split()) == meaning


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--device gpu", "device 'gpu'"),
        ("--dtype float16", "needs a --target"),
        ("--dtype float16 --device cpu", "needs a --target"),
        ("--target openvino --device cuda", "openvino does not run so"),
        ("--target tensorrt-rtx --device cpu", "tensorrt-rtx does not run so"),
        ("--target onnxruntime --dtype bfloat16", "give one of float32, int8"),
        ("--device cuda --dtype int8", "torch does not run so"),
    ],
)
def test_what_nobody_can_do_is_refused(words: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        asked(*words.split())
