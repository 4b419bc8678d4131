"""`denoisert generate` through `main` and through a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denoisert.runtime import CFG, Condition, DPMpp2M, Request, Runtime
from denoisert.runtime.cli import main

COMMAND = [sys.executable, "-m", "denoisert.runtime.cli"]


def generate(bundle: Path, *words: object) -> int:
    return main(["generate", str(bundle), *map(str, words)])


def test_pictures_have_the_name_of_their_request(digits_bundle: Path, tmp_path: Path) -> None:
    words = ["3", "7", "--images", 2, "--steps", 2, "--seed", 5, "--out", tmp_path / "out"]
    assert generate(digits_bundle, *words) == 0
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == ["3-5-0.png", "3-5-1.png", "7-5-0.png", "7-5-1.png"]
    with Image.open(tmp_path / "out" / "3-5-1.png") as picture:
        assert (picture.mode, picture.size) == ("L", (16, 16))


def test_pictures_are_those_of_the_runtime(digits_bundle: Path, tmp_path: Path) -> None:
    options = ["--steps", 4, "--solver", "dpmpp_2m", "--guidance", 3, "--seed", 9]
    latents = tmp_path / "latents.npz"
    words = [*options, "--negative", 1, "--images", 2, "--latents", latents]
    assert generate(digits_bundle, 8, *words) == 0
    request = Request(
        Condition(8, negative=1), seed=9, images=2, steps=4, solver=DPMpp2M(), guidance=CFG(3.0)
    )
    with Runtime.open(digits_bundle) as runtime:
        truth = runtime.generate(request).latents["latent"]
    with np.load(latents) as arrays:
        np.testing.assert_array_equal(arrays["latent"], truth)
        assert arrays["condition"].tolist() == ["8", "8"]
        assert arrays["seed"].tolist() == [9, 9]
        assert arrays["image"].tolist() == [0, 1]


def test_the_grid_has_a_row_per_request(digits_bundle: Path, tmp_path: Path) -> None:
    grid = tmp_path / "grid.png"
    words = [0, 1, 2, "--images", 4, "--steps", 2, "--grid", grid, "--latents", tmp_path / "l.npz"]
    assert generate(digits_bundle, *words) == 0
    with Image.open(grid) as sheet:
        assert sheet.size == (4 * 66 - 2, 3 * 66 - 2)
        pixels = np.asarray(sheet)
    with np.load(tmp_path / "l.npz") as arrays:
        latents = arrays["latent"]
    small = pixels[66 : 66 + 64 : 4, 2 * 66 : 2 * 66 + 64 : 4]  # request 1, picture 2
    expected = np.rint(np.clip((latents[4 + 2, 0] + 1) / 2, 0, 1) * 255)
    np.testing.assert_array_equal(small, expected)


def test_single_pictures_are_laid_out_near_a_square(digits_bundle: Path, tmp_path: Path) -> None:
    grid = tmp_path / "grid.png"
    assert generate(digits_bundle, *range(5), "--steps", 1, "--grid", grid) == 0
    with Image.open(grid) as sheet:
        assert sheet.size == (3 * 66 - 2, 2 * 66 - 2)


def test_the_trace_has_every_tick(digits_bundle: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    words = [3, "--steps", 6, "--trace", trace, "--out", tmp_path]
    assert generate(digits_bundle, *words) == 0
    events = json.loads(trace.read_text())["traceEvents"]
    names = [event["name"] for event in events if event["ph"] == "X"]
    assert names.count("tick") == names.count("engine") == 6
    assert {"open", "plan", "write"} <= set(names)


def test_a_plan_alone_writes_nothing(
    digits_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate(digits_bundle, 3, "--plan", "--out", tmp_path / "out") == 0
    text = capsys.readouterr().out
    assert "32 evaluations" in text
    assert "onnxruntime" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["12"], "0 to 9"),
        (["cat"], "0 to 9"),
        ([], "condition|class"),
        (["3", "--steps", "0"], "1 to 1000"),
        (["3", "--steps", "1000000000"], "1 to 1000"),
        (["3", "--seed", "-1"], "seed"),
        (["3", "--seed", str(2**64)], "seed"),
        (["3", "--guidance", "nan"], "guidance scale"),
        (["3", "--images", "0"], "images"),
        (["3", "--solver", "eulr"], "euler"),
        (["3", "--solver", "ddim(eta=7)"], "eta"),
        (["3", "--schedule", "karras(roh=5)"], "rho"),
        (["3", "--slots", "0"], "slots"),
        (["3", "--expect", "abc"], "expect|asked|id"),
    ],
)
def test_wrong_input_is_one_line_and_nothing_is_written(
    digits_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    code = generate(digits_bundle, *words, "--out", tmp_path / "out")
    error = capsys.readouterr().err
    assert code in (1, 2)
    assert len(error.splitlines()) == 1
    assert error.startswith("denoisert: ")
    assert any(word in error for word in message.split("|")), error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["--grid", "grid.gif"],
        ["--grid", "missing/grid.png"],
        ["--latents", "latents.npy"],
        ["--trace", "trace.txt"],
        ["--out", "file/out"],
    ],
)
def test_places_are_checked_before_the_bundle_is_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    (tmp_path / "file").write_text("a file")
    placed = [words[0], str(tmp_path / words[1])]
    assert main(["generate", str(tmp_path / "no.bundle"), "3", *placed]) == 2
    assert words[0] in capsys.readouterr().err


def test_nothing_is_written_into_the_bundle(
    digits_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate(digits_bundle, 3, "--out", digits_bundle / "graphs") == 2
    assert "bundle" in capsys.readouterr().err


def test_a_process_prints_plain_lines_without_a_terminal(
    digits_bundle: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [*COMMAND, "generate", str(digits_bundle), "3", "--steps", "8"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line for line in done.stderr.splitlines() if "%" in line][-1].endswith("100 %")
    assert "\r" not in done.stderr
    assert (tmp_path / "3-0-0.png").is_file()
    assert "phases" in done.stdout


def test_a_process_that_fails_shows_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "generate", str(tmp_path / "no.bundle"), "3"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("denoisert: BundleError")
    assert "Traceback" not in done.stderr
