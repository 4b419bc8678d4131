"""What `inspect` says about engine sets: version, lanes, profiles, GPUs, and bits of a lane."""

from __future__ import annotations

import pytest

from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.cli.inspect import describe
from denoisert.runtime.engines.profile import Profile
from tests.runtime.bundles import compiled
from tests.runtime.engines.sets import BUILT, entry, profiled, with_sets
from tests.runtime.networks import perceptron

PROFILES = Profile({"lanes": (1, 2, 16)}), Profile({"lanes": (4, 4, 4)})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return Bundle.open(compiled(perceptron(), tmp_path_factory.mktemp("toy")))


def engine_lines(bundle, key, found):
    lines = list(describe(with_sets(bundle, {key: found}).manifest))
    start = next(n for n, line in enumerate(lines) if line.startswith("engine"))
    end = next(n for n, line in enumerate(lines) if line.startswith("file"))
    return lines[start:end]


@pytest.mark.parametrize("key", ["onnxruntime", "openvino-bfloat16", "onnxruntime-int8"])
def test_a_cpu_set_states_that_lanes_keep_to_themselves(bundle, key):
    first, second = engine_lines(bundle, key, entry(bundle, version="1.2"))
    assert first == f"engine      {key} 1.2, any number of lanes"
    assert second.startswith("            a lane is bit for bit the same alone and in a batch (")
    assert "measured on CPUs" in second


def test_a_gpu_set_has_its_profiles_and_gpus(bundle):
    lanes = tuple(range(1, 17))
    found = profiled(bundle, *PROFILES, version=BUILT, buckets=lanes, capabilities=("8.9", "12.0"))
    assert engine_lines(bundle, "tensorrt-rtx-float16", found) == [
        f"engine      tensorrt-rtx-float16 {BUILT}, 1 to 16 lanes",
        "            a lane is perhaps not bit for bit the same alone and in a batch (kernels "
        "depend on the shape, and nobody measured it; a fixed batch helps)",
        "            profile lanes 1 to 16",
        "            profile lanes 4",
        "            for GPUs of compute capability 8.9, 12.0",
    ]


@pytest.mark.parametrize(
    ("buckets", "words"),
    [((), "any number of lanes"), ((4,), "4 lanes"), ((1, 2, 4), "1, 2, 4 lanes")],
)
def test_lanes_in_words(bundle, buckets, words):
    first, *_, last = engine_lines(bundle, "tensorrt-rtx", entry(bundle, buckets=buckets))
    assert first.endswith(f", {words}")
    assert last == "            for every GPU of the library's"


def test_a_set_of_another_version_is_named(bundle):
    _, line = engine_lines(bundle, "onnxruntime-float4", entry(bundle))
    assert line == "            of a target that this version of DenoiseRT does not know"
