"""What a compilation can be told: ranges of sizes, lanes, targets, and every mistake by name."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoisert.export.options import (
    MOST_SIZES,
    STEP_PX,
    CompileOptions,
    EngineOptions,
    size_range,
)
from denoisert.runtime.engines.target import OnnxRuntime, OpenVino, TensorRtRtx, Torch
from denoisert.runtime.errors import InvalidInput

pixels = st.tuples(st.integers(1, 2000), st.integers(1, 2000))
widening = st.tuples(st.integers(0, 900), st.integers(0, 900))


def test_a_range_holds_both_ends_and_steps_between() -> None:
    assert size_range((512, 512), (640, 600)) == (
        *((512, 512), (512, 576), (512, 600)),
        *((576, 512), (576, 576), (576, 600)),
        *((640, 512), (640, 576), (640, 600)),
    )
    assert size_range((64, 48), (64, 48)) == ((64, 48),)


@given(pixels, widening)
def test_neighbours_of_a_range_are_never_further_than_a_step(
    least: tuple[int, int], more: tuple[int, int]
) -> None:
    most = (least[0] + more[0], least[1] + more[1])
    found = size_range(least, most)
    assert (found[0], found[-1]) == (least, most)
    assert len(set(found)) == len(found) <= MOST_SIZES
    for axis in (0, 1):
        lengths = sorted({size[axis] for size in found})
        gaps = [b - a for a, b in pairwise(lengths)]
        assert all(gap == STEP_PX for gap in gaps[:-1])
        assert all(0 < gap <= STEP_PX for gap in gaps)


@pytest.mark.parametrize(
    ("least", "most", "words"),
    [
        ((64, 64), (32, 64), "from 64x64 to 32x64: neither height nor width may descend"),
        ((64, 64), (64, 32), "may descend"),
        ((0, 0), (64, 64), r"size \(0, 0\) must be a height and a width of at least 1"),
        ((64, 64), (1088, 1088), "are 289, and a bundle holds at most 256"),
        ((1, 1), (10**12, 10**12), "and a bundle holds at most 256"),
    ],
)
def test_a_range_that_is_none_is_refused_at_once(
    least: tuple[int, int], most: tuple[int, int], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        size_range(least, most)


def test_the_largest_number_of_sizes() -> None:
    most = size_range((64, 64), (1024, 1024))
    assert len(CompileOptions(sizes=most).sizes) == MOST_SIZES
    with pytest.raises(InvalidInput, match="257 sizes, 257 of them different"):
        CompileOptions(sizes=(*most, (8, 8)))
    with pytest.raises(InvalidInput, match="3 sizes, 2 of them different: give each once"):
        CompileOptions(sizes=((8, 8), (16, 8), (8, 8)))


@pytest.mark.parametrize("lanes", [(0, 1), (2, 1), (1, 17), (4,), (1, 2, 3)])
def test_lanes_that_are_none_are_refused(lanes: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="from 1 to 16"):
        EngineOptions(lanes)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"static": ((8, 0),)}, r"static \(8, 0\) must be a height and a width"),
        ({"static": ((8,),)}, r"static \(8,\) must be a height and a width"),
        ({"memory_bytes": 0}, "memory_bytes 0 must be at least 1"),
    ],
)
def test_settings_of_engines_are_checked(setting: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        EngineOptions(**setting)


@pytest.mark.parametrize(
    "targets", [(), (Torch("cpu"),), ("openvino",), (OpenVino(), OpenVino()), (OpenVino,)]
)
def test_targets_are_objects_that_can_be_compiled_for(targets: tuple[object, ...]) -> None:
    with pytest.raises(InvalidInput, match="OnnxRuntime, OpenVino, TensorRtRtx, TensorRt"):
        CompileOptions(targets)


def test_one_target_in_several_dtypes_has_several_keys() -> None:
    options = CompileOptions((OnnxRuntime(), OpenVino(), OpenVino("float32"), TensorRtRtx()))
    assert list(options.keys) == [
        "onnxruntime",
        "openvino-bfloat16",
        "openvino",
        "tensorrt-rtx-float16",
    ]
