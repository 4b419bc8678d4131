"""`inspect --plan`: what serves a request here, and what would elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.cli import main
from denoisert.runtime.engines import driver
from denoisert.runtime.engines.profile import Profile
from tests.runtime.engines.sets import BUILT, entry, profiled, written
from tests.runtime.sized import sized_bundle, sized_card

PROFILE = Profile({"lanes": (2, 2, 8), "height": (6, 6, 6), "width": (4, 4, 8)})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Two sizes; engines for ONNX Runtime, OpenVINO in bfloat16 and TensorRT for RTX."""
    folder = tmp_path_factory.mktemp("sized")
    first = Bundle.open(sized_bundle(folder, sized_card((6, 4), (6, 8))))
    sets = {
        "onnxruntime": entry(first),
        "openvino-bfloat16": entry(first, version="2026.4.1"),
        "tensorrt-rtx-float16": profiled(first, PROFILE, version=BUILT, capabilities=("8.9",)),
    }
    return written(first, sets, folder / "sets.bundle")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch, tmp_path):
    monkeypatch.setattr(driver, "capabilities", tuple)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def said(capsys, path, *words):
    code = main(["inspect", str(path), *words])
    shown = capsys.readouterr()
    return code, shown.out.splitlines(), shown.err


def test_three_lines_and_one_for_every_set_that_was_not_taken(path, capsys):
    code, lines, err = said(capsys, path, "--plan", "--guidance", "2")
    assert (code, err) == (0, "")
    assert lines[0].startswith("target   onnxruntime ")
    assert lines[0].endswith("on the CPU in float32, the bundle's engine for it (built with 1.0)")
    assert lines[1:3] == [
        "engine   engines/onnxruntime/denoiser.onnx, for every shape that its inputs allow",
        "bucket   6x4: 2 lanes in bucket 2",
    ]
    assert lines[3].startswith("not openvino-bfloat16: it ")
    assert lines[4].startswith("not tensorrt-rtx-float16: it needs ")
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("words", "bucket"),
    [
        (("--plan", "6x8", "--guidance", "1"), "6x8: 1 lane in bucket 1"),
        (("--plan", "--images", "3", "--guidance", "2"), "6x4: 6 lanes in bucket 6"),
        (("--plan", "--images", "3", "--guidance", "1"), "6x4: 3 lanes in bucket 3"),
        (("--plan", "--images", "99", "--guidance", "2"), "6x4: 16 lanes in bucket 16"),
    ],
)
def test_lanes_follow_from_the_request(path, capsys, words, bucket):
    _, lines, _ = said(capsys, path, *words)
    assert lines[2] == f"bucket   {bucket}"


def test_a_gpus_engine_is_explained_where_there_is_no_gpu(path, capsys):
    words = ("--target", "tensorrt-rtx", "--plan", "6x8", "--guidance", "1", "--images", "9")
    code, lines, err = said(capsys, path, *words)
    assert code == 1
    assert "tensorrt-rtx-float16 cannot run here: it needs" in err
    assert lines[0].startswith("target   tensorrt-rtx on cuda in float16, not on this machine")
    assert lines[1].endswith("denoiser.onnx, profile 1 of 1 (lanes 2 to 8, height 6, width 4 to 8)")
    assert lines[2] == "bucket   6x8: 8 lanes in bucket 8"
    assert lines[3].startswith("not onnxruntime: it runs on the CPU; ask for OnnxRuntime()")


@pytest.mark.parametrize(("guidance", "padding"), [("1", 1), ("2", 0)])
def test_json_says_the_same(path, capsys, guidance, padding):
    words = ("--device", "cuda", "--plan", "--json", "--guidance", guidance)
    code, lines, err = said(capsys, path, *words)
    assert code == 1
    assert "cuda was asked for, and the driver shows no NVIDIA GPU" in err
    found = json.loads(lines[0])
    assert found["target"] == "tensorrt-rtx-float16"
    assert found["profiles"] == [str(PROFILE)]
    assert (found["served"], found["buckets"], found["padding"]) == ([0], [2], padding)
    assert set(found["passed"]) == {"onnxruntime", "openvino-bfloat16"}
    assert found["size"] == [6, 4]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--plan", "768x1344"), 1, "compiled for 6x4 and 6x8. Take 6x8, the nearest.*--size 6x4,"),
        (("--plan", "--images", "0"), 2, "--images 0: give at least 1"),
        (("--plan", "--device", "gpu"), 2, "device 'gpu': give"),
        (("--plan", "--dtype", "float16"), 2, "--dtype float16 needs a --target"),
        (("--plan", "--target", "tensorrt"), 1, "none for tensorrt-float16. Compile with --target"),
        (("--plan", "--target", "openvino", "--dtype", "int8"), 1, "none for openvino-int8"),
    ],
)
def test_what_cannot_be_is_one_line(path, capsys, words, code, says):
    found, lines, err = said(capsys, path, *words)
    assert (found, lines) == (code, [])
    assert len(err.splitlines()) == 1
    with pytest.raises(ValueError, match=says):
        raise ValueError(err)


def test_nothing_heavy_is_loaded_for_it(path):
    script = (
        "import sys\nfrom denoisert.runtime.cli import main\n"
        f"main(['inspect', {str(path)!r}, '--plan'])\n"
        "names = ('onnxruntime', 'torch', 'triton', 'onnx', 'openvino', 'tensorrt_rtx')\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
