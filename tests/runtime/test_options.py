"""What a service may decide about a runtime."""

import os
from types import SimpleNamespace

import pytest

from denoisert.runtime.engines.target import OnnxRuntime, OpenVino, TensorRtRtx, Torch
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.options import Options
from denoisert.runtime.text.cache import CACHE_BYTES


@pytest.mark.parametrize("name", ["slots", "queue", "threads", "memory_bytes"])
@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "8"])
def test_counts_are_whole_numbers_from_one(name, wrong):
    with pytest.raises(InvalidInput, match=name):
        Options(**{name: wrong})
    assert getattr(Options(**{name: 1}), name) == 1


@pytest.mark.parametrize("devices", [("gpu",), ("cpu", "tpu"), tuple("cpu"), ("cuda:x",)])
def test_only_known_devices(devices):
    with pytest.raises(InvalidInput, match=r"device '.*give \"cpu\", \"cuda\""):
        Options(devices=devices)


@pytest.mark.parametrize(
    "devices",
    [(), ("cpu", "cuda"), ("cpu", Torch("cpu")), ("cuda:0", Torch("cuda:1", "float16"))],
)
def test_devices_are_of_one_kind(devices):
    with pytest.raises(InvalidInput, match="all of one kind"):
        Options(devices=devices)


@pytest.mark.parametrize(
    "devices",
    [
        ("cuda", "cuda:1"),
        ("cpu", "cpu"),
        (OpenVino(), OpenVino()),
        (TensorRtRtx(device="cuda:0"), TensorRtRtx(device="cuda:1")),
    ],
)
def test_several_devices_of_one_kind_are_kept_as_they_were_given(devices):
    assert Options(devices=devices).devices == devices


@pytest.mark.parametrize(
    "devices",
    [
        (OnnxRuntime(), OpenVino("float32")),
        (OpenVino("float32"), OpenVino("bfloat16")),
        (TensorRtRtx(), Torch("cuda", "float16")),
    ],
)
def test_devices_of_another_target_or_dtype_are_of_another_kind(devices):
    with pytest.raises(InvalidInput, match="all of one kind"):
        Options(devices=devices)


@pytest.mark.parametrize(
    "wrong", [{"dtype": "int8"}, {"device": "gpu"}, {"device": "cuda:"}, {"graphs": -1}]
)
def test_a_target_checks_itself(wrong):
    with pytest.raises(InvalidInput, match="give"):
        Torch(**wrong)


def test_threads_are_shared_by_devices():
    cores = len(os.sched_getaffinity(0))
    assert Options().share == cores
    assert Options(threads=8, devices=("cpu", "cpu", "cpu")).share == 2
    assert Options(threads=1, devices=("cpu", "cpu")).share == 1


def test_kept_prompts_take_at_most_an_eighth_of_the_budget():
    card, plain = SimpleNamespace(texts=("one",)), SimpleNamespace(texts=())
    assert Options().kept_bytes(card) == CACHE_BYTES
    assert Options(memory_bytes=8000).kept_bytes(card) == 1000
    assert Options(memory_bytes=2**60).kept_bytes(card) == CACHE_BYTES
    assert Options().kept_bytes(plain) == 0
