"""What is chosen of a bundle with several engine sets, and what is said about the others."""

from dataclasses import replace

import pytest

from denoisert.runtime import Request, Runtime
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.components import load_components
from denoisert.runtime.engines.choice import choose, foresee, spelled
from denoisert.runtime.engines.target import (
    OnnxRuntime,
    OpenVino,
    TensorRt,
    TensorRtRtx,
    Torch,
    engine_key,
    target_of_key,
)
from denoisert.runtime.errors import Incompatible, InvalidInput
from denoisert.runtime.measure.profile import Call, Profile, ProfileKey
from denoisert.runtime.options import Options
from denoisert.runtime.text.cache import PromptCache
from tests.runtime.bundles import compiled
from tests.runtime.engines.sets import BUILT, EVERYTHING, entry, have, with_sets
from tests.runtime.networks import perceptron

CPU_SETS = ("onnxruntime", "openvino", "openvino-bfloat16", "onnxruntime-int8", "openvino-int8")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return Bundle.open(compiled(perceptron(), tmp_path_factory.mktemp("toy")))


@pytest.fixture(autouse=True)
def everything(monkeypatch):
    have(monkeypatch, EVERYTHING)


def holding(bundle, *keys, **fields):
    """The bundle with these sets; those of GPUs were built by the version that is installed."""
    return with_sets(bundle, {key: entry(bundle, version=BUILT, **fields) for key in keys})


@pytest.mark.parametrize("count", range(1, len(CPU_SETS) + 1))
def test_the_highest_precision_that_a_bundle_has_is_taken(bundle, count):
    rest = CPU_SETS[len(CPU_SETS) - count :]
    chosen = choose(holding(bundle, *rest, "tensorrt-rtx-float16"))
    assert chosen.key == rest[0]
    assert chosen.target == target_of_key(rest[0])
    assert f"in {chosen.target.dtype}, the bundle's engine for it (built with" in chosen.reason
    assert set(chosen.passed) == {*rest[1:], "tensorrt-rtx-float16"}


def test_a_set_whose_library_is_missing_is_passed_over_and_noted(bundle, monkeypatch):
    have(monkeypatch, {"openvino": "2026.4.1"})
    chosen = choose(holding(bundle, "onnxruntime", "openvino-bfloat16"))
    assert chosen.target == OpenVino()
    (note,) = chosen.notes
    assert note.startswith("not onnxruntime: it needs ONNX Runtime, which is not installed")


def test_what_nobody_would_expect_is_no_note(bundle):
    chosen = choose(holding(bundle, "onnxruntime", "openvino-bfloat16", "tensorrt-rtx-float16"))
    assert chosen.notes == ()
    assert chosen.lines == (
        chosen.reason,
        "not openvino-bfloat16: it runs here, too; ask for OpenVino()",
        "not tensorrt-rtx-float16: it needs an NVIDIA GPU; the driver shows none here.",
    )


def test_sets_of_one_dtype_are_taken_by_their_measured_time(bundle):
    both = holding(bundle, "onnxruntime", "openvino")
    slower = {"onnxruntime": 0.004, "openvino": 0.005}
    faster = {"onnxruntime": 0.004, "openvino": 0.003}
    assert choose(both, "cpu", slower).target == OnnxRuntime()
    chosen = choose(both, "cpu", faster)
    assert chosen.target == OpenVino("float32")
    assert chosen.reason.endswith("; measured here: onnxruntime 4 ms, openvino 3 ms")
    assert chosen.notes == ()
    assert choose(both, "cpu", {"openvino": 0.003}).target == OnnxRuntime()


def test_a_lower_precision_is_never_taken_by_its_time_but_noted(bundle):
    times = {"onnxruntime": 0.004, "openvino-bfloat16": 0.001, "onnxruntime-int8": 0.009}
    chosen = choose(holding(bundle, *CPU_SETS), "cpu", times)
    assert chosen.target == OnnxRuntime()
    assert chosen.notes == (
        "openvino-bfloat16 1 ms was measured here, onnxruntime 4 ms; ask for OpenVino() where "
        "bfloat16 is good enough",
    )


def test_times_that_were_measured_here_decide_in_open(bundle, tmp_path, monkeypatch):
    monkeypatch.undo()  # what runs has to be there
    key = ProfileKey.of(bundle.id, OnnxRuntime(), 1)
    Profile(key, (Call("denoiser", 1, 0.004),)).write(tmp_path)
    with Runtime.open(bundle.root, threads=1, cache=tmp_path) as runtime:
        assert runtime.choice.target == OnnxRuntime()
        assert runtime.choice.reason in repr(runtime)
        assert runtime.choice.lines == (runtime.choice.reason,)
        assert runtime.plan(Request(3)).engine == runtime.choice.reason


def test_notes_of_the_choice_are_in_every_plan(tmp_path):
    bundle = Bundle.open(compiled(perceptron(), tmp_path))
    both = with_sets(bundle, {**bundle.manifest.engines, "openvino": entry(bundle)})
    chosen = choose(both, "cpu", {"onnxruntime": 1.0})
    noted = replace(chosen, notes=("one", "two"))
    parts = load_components(both, [noted], 1, PromptCache(0))
    with Runtime(both, noted, parts, Options()) as runtime:
        assert runtime.plan(Request(3)).notes == ("one", "two")


@pytest.mark.parametrize(
    ("keys", "gpus", "taken"),
    [
        (("tensorrt-rtx-float16", "tensorrt-rtx"), ("8.9",), TensorRtRtx("float32")),
        (("tensorrt-rtx-float16", "tensorrt-rtx-bfloat16"), ("8.9",), TensorRtRtx("bfloat16")),
        (("tensorrt-rtx-float16", "tensorrt-float16"), ("8.9",), TensorRtRtx()),
        (("onnxruntime", "openvino"), ("8.9",), Torch()),
        (("tensorrt-rtx-float16",), ("12.0",), Torch()),
    ],
)
def test_a_gpu_takes_its_engines_before_torch(bundle, monkeypatch, keys, gpus, taken):
    have(monkeypatch, EVERYTHING, *gpus)
    chosen = choose(holding(bundle, *keys, capabilities=("8.9",)), "cuda")
    assert chosen.target == taken


def test_the_second_gpu_is_looked_at_itself(bundle, monkeypatch):
    have(monkeypatch, EVERYTHING, "8.9", "12.0")
    both = holding(bundle, "tensorrt-rtx-float16", capabilities=("8.9",))
    assert choose(both, "cuda:0").target == TensorRtRtx(device="cuda:0")
    chosen = choose(both, "cuda:1")
    assert chosen.target == Torch("cuda:1")
    assert "cuda:1 has 12.0" in chosen.passed["tensorrt-rtx-float16"]
    (note,) = chosen.notes
    assert note.startswith("not tensorrt-rtx-float16: its engines are for compute capability 8.9")


@pytest.mark.parametrize(
    ("changed", "gpus", "says"),
    [
        ({"tensorrt-rtx-cu13": "1.8.0.1"}, ("8.9",), "compiled by tensorrt-rtx 1.7.1.116, inst"),
        ({}, ("12.0",), "for compute capability 8.9; cuda has 12.0. .*--capability 12.0"),
        ({}, (), "needs an NVIDIA GPU"),
        ({"tensorrt-rtx-cu13": None}, ("8.9",), r"not installed here\..*\[tensorrt-rtx\]"),
    ],
)
def test_engines_that_cannot_run_are_refused_before_they_are_read(
    bundle, monkeypatch, changed, gpus, says
):
    """There is no engine file at all, so nothing can have been deserialised."""
    have(monkeypatch, {**EVERYTHING, **changed}, *gpus)
    mine = holding(bundle, "tensorrt-rtx-float16", "onnxruntime", capabilities=("8.9",))
    with pytest.raises(Incompatible, match=f"^tensorrt-rtx-float16 cannot run here: .*{says}"):
        choose(mine, TensorRtRtx())
    assert engine_key(choose(mine, "cuda").target) == "torch"
    assert choose(mine).target == OnnxRuntime()


def test_onnx_runtime_is_offered_on_the_device_that_was_asked_for(bundle, monkeypatch):
    mine = holding(bundle, "onnxruntime", "onnxruntime-int8", "tensorrt-rtx-float16")
    here = {**EVERYTHING, "onnxruntime": None}
    have(monkeypatch, {**here, "onnxruntime-gpu": "1.31.1"}, "8.9", "8.9")
    assert choose(mine, "cuda:1").passed == {
        "onnxruntime": 'it runs here, too; ask for OnnxRuntime(device="cuda:1")',
        "onnxruntime-int8": 'it runs on the CPU; ask for OnnxRuntime(dtype="int8")',
    }
    have(monkeypatch, EVERYTHING, "8.9", "8.9")
    found = choose(mine, "cuda:1").passed
    assert found["onnxruntime"] == "it runs on the CPU; ask for OnnxRuntime()"
    have(monkeypatch, here, "8.9")
    assert "needs onnxruntime-gpu, not" in choose(mine, "cuda").passed["onnxruntime"]


def test_a_set_that_this_version_does_not_know_is_said_so(bundle):
    chosen = choose(holding(bundle, "onnxruntime", "onnxruntime-float4"))
    assert chosen.passed == {"onnxruntime-float4": "this version of DenoiseRT does not know it"}


def test_what_the_bundle_lacks_comes_with_the_command_for_it(bundle):
    mine = holding(bundle, "tensorrt-rtx-float16")
    with pytest.raises(Incompatible, match=r"none for cpu\. .*--target onnxruntime, .*\(\"cpu\"\)"):
        choose(mine)
    with pytest.raises(Incompatible, match=r"none for openvino-bfloat16\. .* openvino:bfloat16"):
        choose(mine, OpenVino())
    with pytest.raises(InvalidInput, match='give "cpu"'):
        choose(mine, "gpu")


def test_what_a_machine_with_a_gpu_would_choose(bundle):
    mine = holding(bundle, "onnxruntime", "tensorrt-rtx-float16")
    for wanted in ("cuda", TensorRtRtx()):
        chosen = foresee(mine, wanted)
        assert chosen.target == TensorRtRtx()
        assert chosen.reason == (
            "tensorrt-rtx on cuda in float16, not on this machine, the bundle's engine for it "
            f"(built with {BUILT})"
        )
        assert list(chosen.passed) == ["onnxruntime"]
    with pytest.raises(Incompatible, match="none for tensorrt-float16"):
        foresee(mine, TensorRt())


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (OnnxRuntime(), "OnnxRuntime()"),
        (OpenVino("int8"), 'OpenVino(dtype="int8")'),
        (TensorRtRtx("bfloat16", "cuda:1"), 'TensorRtRtx(dtype="bfloat16", device="cuda:1")'),
        (Torch("cpu"), 'Torch(device="cpu")'),
    ],
)
def test_targets_are_spelled_as_python_reads_them(target, text):
    assert spelled(target) == text
    assert eval(text) == target
