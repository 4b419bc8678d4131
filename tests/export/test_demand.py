"""What no compiler here can do is refused before a model is loaded, let alone compiled."""

from __future__ import annotations

from pathlib import Path

import pytest

from denoisert.export import CompileOptions, compile_bundle
from denoisert.export import demand as module
from denoisert.export.demand import check_demand
from denoisert.export.options import EngineOptions
from denoisert.export.sources.zoo import ZooFolder
from denoisert.runtime.engines.target import (
    EngineTarget,
    OnnxRuntime,
    OpenVino,
    TensorRt,
    TensorRtRtx,
)
from denoisert.runtime.errors import BuildError, DenoiseRTError, InvalidInput
from denoisert.runtime.layout import Part
from tests.export.networks import card_of
from tests.export.pictures import card_at

RTX = (TensorRtRtx(),)
SIZE = (128, 128)


def demand(targets: tuple[EngineTarget, ...], **engines: object) -> CompileOptions:
    return CompileOptions(targets, engines=EngineOptions(**engines))


@pytest.mark.parametrize(
    "options",
    [
        demand((OnnxRuntime(), OpenVino(), *RTX)),
        demand(RTX, capabilities=("7.5", "12.0")),
        demand((OnnxRuntime(), *RTX), capabilities=("8.9",), static=(SIZE, (256, 64))),
    ],
)
def test_what_can_be_done_passes(options: CompileOptions) -> None:
    check_demand(card_at((16, 16), (32, 8)), options)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (
            demand(RTX, capabilities=("8.9", "9.0")),
            BuildError,
            r"9\.0 asked for; .* compiles for 7\.5, 8\.0, 8\.6, 8\.9, 12\.0, 12\.1",
        ),
        (demand(RTX, capabilities=("8.9", "8.9")), BuildError, "each of them once"),
        (
            demand((OpenVino(),), capabilities=("8.9",)),
            InvalidInput,
            "none of the targets openvino .* tensorrt-rtx and tensorrt do",
        ),
        (
            demand(RTX, static=((512, 512),)),
            InvalidInput,
            "static 512x512 is none of the sizes that are compiled, 128x128 and 256x64",
        ),
        (
            demand((OpenVino(), OnnxRuntime("float16", "cuda")), static=(SIZE,)),
            InvalidInput,
            "static 128x128: engines of openvino, onnxruntime have no profiles, those of tensorrt",
        ),
    ],
)
def test_what_cannot_is_refused_with_what_can(
    options: CompileOptions, error: type[DenoiseRTError], words: str
) -> None:
    with pytest.raises(error, match=words):
        check_demand(card_at((16, 16), (32, 8)), options)


def test_a_state_without_pixels_has_no_static_size() -> None:
    card = card_of((Part("sound", (3, 20)),), conditions=())
    with pytest.raises(InvalidInput, match=r"is none of .* a state of shape \(3, 20\)"):
        check_demand(card, demand(RTX, static=(SIZE,)))


@pytest.mark.parametrize("target", [OnnxRuntime(), OpenVino(), TensorRtRtx(), TensorRt()])
def test_a_library_that_is_not_installed_is_named_by_its_extra(
    monkeypatch: pytest.MonkeyPatch, target: EngineTarget
) -> None:
    monkeypatch.setattr(module, "version_of", lambda _: None)
    extra = {"onnxruntime": "cpu"}.get(target.name, target.name)
    with pytest.raises(BuildError, match=rf"{target.name} .*denoisert\[{extra}\]"):
        check_demand(card_at((16, 16)), CompileOptions((target,)))


@pytest.mark.parametrize(
    "options",
    [
        demand(RTX, capabilities=("9.0",)),
        demand(RTX, static=((512, 512),)),
    ],
)
def test_it_is_refused_before_work_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: CompileOptions
) -> None:
    def load(_: object) -> None:
        pytest.fail("work was started")

    monkeypatch.setattr(ZooFolder, "load", load)
    monkeypatch.setattr(ZooFolder, "fingerprint", load)
    with pytest.raises(DenoiseRTError, match=r"compiles for|none of the sizes"):
        compile_bundle("digits", tmp_path / "a.bundle", options=options)
    assert not list(tmp_path.iterdir())
