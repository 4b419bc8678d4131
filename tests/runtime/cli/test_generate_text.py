"""`denoisert generate` with words, with a picture to start from, in every file format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denoisert.runtime.cli import main
from denoisert.runtime.cli.generate import FORMATS

SIDE = 32


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "start.png"
    pixels = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def generate(bundle: Path, folder: Path, *words: str) -> int:
    return main(["generate", str(bundle), *words, "--steps", "4", "--out", str(folder)])


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("name", FORMATS)
def test_words_become_pictures_in_any_format(text_bundle: Path, tmp_path: Path, name: str) -> None:
    assert generate(text_bundle, tmp_path / "out", "red apple", "--format", name) == 0
    (path,) = (tmp_path / "out").iterdir()
    assert path.name == f"red_apple-0-0.{'jpg' if name == 'jpeg' else name}"
    with Image.open(path) as image:
        assert (image.format, image.size) == (name.upper(), (SIDE, SIDE))
    assert generate(text_bundle, tmp_path / "plain", "red apple") == 0
    difference = np.abs(pixels(path) - pixels(tmp_path / "plain" / "red_apple-0-0.png"))
    assert difference.mean() <= (0 if name == "png" else 25)


def test_a_picture_to_start_from_changes_what_comes_out(
    text_bundle: Path, tmp_path: Path, picture: Path
) -> None:
    start = ["--init-image", str(picture)]
    for folder, words in (
        ("none", []),
        ("default", start),
        ("half", [*start, "--strength", "0.5"]),
        ("whole", [*start, "--strength", "1"]),
    ):
        assert generate(text_bundle, tmp_path / folder, "red apple", *words) == 0
    found = {
        folder: pixels(tmp_path / folder / "red_apple-0-0.png")
        for folder in ("none", "default", "half", "whole")
    }
    assert np.array_equal(found["default"], found["half"])
    assert not np.array_equal(found["half"], found["whole"])
    assert not np.array_equal(found["half"], found["none"])


def test_a_mask_keeps_what_is_black(text_bundle: Path, tmp_path: Path, picture: Path) -> None:
    """The latents of it bit for bit; where all is black nothing else is left."""
    half, black = tmp_path / "half.png", tmp_path / "black.png"
    Image.fromarray(np.repeat(np.uint8([[0, 255]]), SIDE // 2, 1).repeat(SIDE, 0)).save(half)
    Image.new("L", (SIDE, SIDE)).save(black)
    start, found = ["--init-image", str(picture)], {}
    for name, words in (
        ("half", ["--mask", str(half)]),
        ("black", ["--mask", str(black)]),
        ("copy", ["--strength", "0"]),
    ):
        file = tmp_path / f"{name}.npz"
        latents = ["--latents", str(file)]
        assert generate(text_bundle, tmp_path / name, "red apple", *start, *words, *latents) == 0
        with np.load(file) as arrays:
            found[name] = arrays["latent"][0]
    shown = [pixels(tmp_path / name / "red_apple-0-0.png") for name in ("black", "copy")]
    assert np.array_equal(*shown)
    middle = found["copy"].shape[2] // 2
    assert np.array_equal(found["half"][..., :middle], found["copy"][..., :middle])
    assert np.abs(found["half"] - found["copy"])[..., middle:].min() > 0


def test_a_prompt_by_the_name_of_its_encoder(text_bundle: Path, tmp_path: Path) -> None:
    named = ["--condition", "text_encoder=red apple"]
    for folder, words in (
        ("plain", ["red apple"]),
        ("other", ["pear"]),
        ("named", ["pear", *named]),
    ):
        assert generate(text_bundle, tmp_path / folder, *words) == 0
    found = {
        folder: pixels(next((tmp_path / folder).iterdir()))
        for folder in ("plain", "other", "named")
    }
    assert np.array_equal(found["named"], found["plain"])
    assert not np.array_equal(found["named"], found["other"])


def test_a_cut_prompt_is_said(
    text_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate(text_bundle, tmp_path / "out", "red apple " * 40) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note")]
    assert any("tokens" in line for line in notes)
    assert all(len(line) < 200 for line in notes)


def test_the_report_counts_every_picture(
    text_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["red apple", "green car", "--images", "2", "--slots", "2"]
    assert generate(text_bundle, tmp_path / "out", *words) == 0
    printed = capsys.readouterr().out
    assert ", 4 in " in printed.splitlines()[-1]
    for phase in ("open", "text", "ticks", "decode", "write"):
        assert f"{phase} " in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--strength", "0.5"], "--init-image"),
        (["--init-image", "missing.png"], "missing.png"),
        (["--init-image", "{start}", "--strength", "-0.1"], "strength"),
        (["--mask", "{start}"], "--mask needs --init-image"),
        (["--init-image", "{start}", "--mask", "missing.png"], "missing.png"),
        (["--init-image", "{start}", "--mask", "{wide}"], "one value for each pixel"),
        (["--condition", "crop_top=1"], "crop_top"),
        (["--condition", "crop_top"], "write NAME=VALUE"),
        (["--init-image", "{start}", "--strength", "1.5"], "strength"),
        (["--init-image", "{cut}"], "truncated"),
        (["--init-image", "{wide}"], "64"),
    ],
)
def test_bad_starts_are_refused_before_any_work(
    text_bundle: Path,
    tmp_path: Path,
    picture: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    cut, wide = tmp_path / "cut.png", tmp_path / "wide.png"
    cut.write_bytes(picture.read_bytes()[:900])
    Image.new("RGB", (64, 32)).save(wide)
    filled = [word.format(start=picture, cut=cut, wide=wide) for word in words]
    assert generate(text_bundle, tmp_path / "out", "red apple", *filled) in (1, 2)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_bundle_without_an_image_encoder_refuses_a_picture(
    digits_bundle: Path, tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", str(digits_bundle), "3", "--init-image", str(picture)]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert "image encoder" in capsys.readouterr().err
