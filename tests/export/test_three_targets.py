"""One bundle for three targets, compiled without a GPU: what it says here, and what it runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from denoisert.export import CompileOptions, compile_bundle
from denoisert.export.options import EngineOptions
from denoisert.runtime import OnnxRuntime, OpenVino, Request, Runtime, TensorRtRtx
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.cli import main
from denoisert.runtime.engines import driver
from denoisert.runtime.engines.here import version_of
from denoisert.runtime.errors import Incompatible
from tests.runtime.engines.sets import EVERYTHING, have

pytestmark = pytest.mark.slow

TARGETS = (OnnxRuntime(), OpenVino(), TensorRtRtx())
REQUEST = Request(3, seed=5, steps=6)
BFLOAT16 = 5e-2
"""Of the largest number, over 6 evaluations; one alone may have half of it."""


@pytest.fixture(scope="module")
def path(digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("three") / "three.bundle"
    options = CompileOptions(TARGETS, engines=EngineOptions(lanes=(2, 8), capabilities=("8.9",)))
    compile_bundle(digits_bundle, out, options=options)
    return out


def test_the_manifest_says_what_each_set_is_for(path):
    engines = Bundle.open(path).manifest.engines
    assert list(engines) == ["onnxruntime", "openvino-bfloat16", "tensorrt-rtx-float16"]
    for key, target in zip(engines, TARGETS, strict=True):
        assert engines[key].version == version_of(target)
        assert engines[key].graphs["denoiser"].dtype == target.dtype
    gpu = engines["tensorrt-rtx-float16"]
    assert (gpu.buckets, gpu.capabilities) == (tuple(range(2, 9)), ("8.9",))


def test_open_takes_the_highest_precision_and_says_why_not_the_others(path):
    with Runtime.open(path) as runtime:
        assert runtime.choice.target == OnnxRuntime()
        assert runtime.choice.passed["openvino-bfloat16"] == "it runs here, too; ask for OpenVino()"
        assert runtime.choice.passed["tensorrt-rtx-float16"]
        assert runtime.plan(REQUEST).notes == ()


def test_both_cpu_sets_draw_the_same_picture(path):
    found = []
    for target in TARGETS[:2]:
        with Runtime.open(path, devices=(target,)) as runtime:
            found.append(runtime.generate(REQUEST).flat)
    apart = np.abs(found[0] - found[1]).max() / np.abs(found[0]).max()
    assert 0 < apart < BFLOAT16


def test_the_plan_pads_what_the_batch_leaves_open(path, capsys):
    words = ["--plan", "--target", "tensorrt-rtx", "--guidance", "1", "--json"]
    code = main(["inspect", str(path), *words])
    found = json.loads(capsys.readouterr().out)
    assert (found["lanes"], found["buckets"], found["padding"]) == (1, [2], 1)
    assert found["profiles"] == ["lanes 2 to 8"]
    assert code == (0 if "8.9" in driver.capabilities()[:1] else 1)


@pytest.mark.parametrize(
    ("changed", "gpu", "says"),
    [
        ({"tensorrt-rtx-cu13": "0.9"}, "8.9", "installed is 0.9"),
        ({}, "12.0", "cuda has 12.0"),
    ],
)
def test_an_engine_for_elsewhere_is_refused_before_it_is_read(
    path, monkeypatch, changed, gpu, says
):
    mine = {**EVERYTHING, "tensorrt-rtx-cu13": version_of(TensorRtRtx()), **changed}
    have(monkeypatch, mine, gpu)
    monkeypatch.setattr(Bundle, "verified", lambda self, name: pytest.fail(f"{name} was read"))
    with pytest.raises(Incompatible, match=says):
        Runtime.open(path, devices=(TensorRtRtx(),))


def test_every_set_that_runs_here_passes(path, capsys):
    assert main(["verify", str(path), "--parity"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for key in ("onnxruntime", "openvino-bfloat16"):
        assert any(line.startswith(f"parity   denoiser {key}: ") for line in lines)
        (batches,) = (line for line in lines if line.startswith(f"batches  denoiser {key}: "))
        assert "bit for bit the same in calls of 1, 2, 4, 8" in batches
