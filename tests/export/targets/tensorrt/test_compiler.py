"""Engines of TensorRT for RTX, really compiled: what comes out, and every refusal."""

import hashlib
import os
from dataclasses import replace

import pytest

from denoisert.runtime.engines.profile import Profile
from denoisert.runtime.engines.tensorrt.binding import RTX
from tests.export.targets.tensorrt.graphs import (
    DYNAMIC,
    STATIC,
    attention,
    built,
    convolution,
    external,
    job,
    relu,
)

MAGIC = (b"ptrt", b"vtrt")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_same_job_gives_the_same_bytes(dtype, tmp_path):
    wanted = job(convolution(tmp_path, dtype))
    first, second = (hashlib.sha256(built(wanted)).digest() for _ in range(2))
    assert first == second
    assert wanted.out.read_bytes()[:4] in MAGIC


def test_capabilities_change_the_engine(tmp_path):
    graph = convolution(tmp_path)
    engines = {caps: built(job(graph, capabilities=caps)) for caps in ((), ("7.5",), ("12.0",))}
    assert len(set(engines.values())) == 3
    both = built(job(graph, capabilities=("7.5", "12.0")))
    assert both == built(job(graph, capabilities=("12.0", "7.5")))


def test_every_known_capability_is_taken(tmp_path):
    assert built(job(relu(tmp_path), capabilities=RTX.capabilities))


def test_several_profiles_dynamic_and_static(tmp_path):
    one = built(job(relu(tmp_path)))
    two = built(job(relu(tmp_path), (DYNAMIC, STATIC)))
    assert len(two) > len(one)


@pytest.mark.parametrize("profiles", [(), (STATIC,)])
def test_a_graph_where_nothing_varies_needs_no_profile(profiles, tmp_path):
    assert built(job(convolution(tmp_path, size=2), profiles))


@pytest.mark.parametrize(("dtype", "head"), [("float32", 64), ("float16", 8), ("float16", 264)])
def test_attention_without_a_kernel_of_its_own_is_taken_apart(dtype, head, tmp_path):
    assert built(job(attention(tmp_path, dtype, head)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_attention_with_a_kernel_keeps_it(dtype, tmp_path):
    assert b"mha" in built(job(attention(tmp_path, dtype)))
    assert b"mha" not in built(job(attention(tmp_path, "float32")))


def test_weights_lie_beside_the_root(tmp_path):
    graph = convolution(tmp_path)
    inside = built(job(graph))
    assert built(replace(job(external(graph, tmp_path)), root=tmp_path)) == inside


def digits_job(bundle, out, profiles, capabilities=()):
    graph = bundle / "graphs" / "denoiser.onnx"
    return replace(job(graph, profiles, capabilities), root=bundle, out=out)


def test_digits_compile_for_every_gpu(digits_bundle, tmp_path):
    """The smallest real denoiser, in float32: attention is taken apart."""
    lanes = Profile({"lanes": (1, 2, 8)})
    assert len(built(digits_job(digits_bundle, tmp_path / "e.engine", (lanes,)))) > 2**20


@pytest.mark.slow
@pytest.mark.parametrize("capabilities", [(), ("12.0",)])
def test_digits_compile_twice_to_the_same_bytes(capabilities, digits_bundle, tmp_path):
    profiles = (Profile({"lanes": (1, 2, 8)}), STATIC)
    wanted = digits_job(digits_bundle, tmp_path / "e.engine", profiles, capabilities)
    assert built(wanted) == built(wanted)
    assert os.path.getsize(wanted.out) > 2**20
