"""Requests that fail while others succeed, and tables for programs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.cli import generate, main
from denoisert.runtime.cli.output import Output
from denoisert.runtime.cli.write import write
from denoisert.runtime.errors import InvalidInput, NonFinite
from denoisert.runtime.result import Result
from denoisert.runtime.runtime import Runtime


@pytest.fixture(scope="module")
def good(digits_bundle: Path) -> Result:
    card = Bundle.open(digits_bundle).card
    latents = np.random.default_rng(5).uniform(-1, 1, (2, card.layout.elements))
    phases = {"plan": 1.0, "ticks": 2.0, "engine": 1.5}
    return Result(card.layout, card.picture, latents.astype(np.float32), phases)


@pytest.fixture(scope="module")
def bad(good: Result) -> Result:
    error = NonFinite("stage 3 is NaN")
    return Result(good.layout, good.picture, good.flat[:0], dict(good.phases), error=error)


def everything(folder: Path) -> Output:
    return Output(folder / "out", folder / "grid.png", folder / "l.npz", folder / "t.json")


def test_a_failed_request_leaves_its_places_empty(
    good: Result, bad: Result, tmp_path: Path
) -> None:
    files = write(everything(tmp_path), ["1", "2", "3"], 7, 2, [good, bad, good])
    names = [path.name for path in files]
    assert names == ["1-7-0.png", "1-7-1.png", "3-7-0.png", "3-7-1.png", "grid.png", "l.npz"]
    assert all(path.is_file() for path in files)
    with Image.open(tmp_path / "grid.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape == (3 * 66 - 2, 2 * 66 - 2)
    assert (pixels[66:130] == 255).all()
    np.testing.assert_array_equal(pixels[:64], pixels[132:])
    with np.load(tmp_path / "l.npz") as arrays:
        assert arrays["condition"].tolist() == ["1", "1", "3", "3"]
        assert arrays["image"].tolist() == [0, 1, 0, 1]
        assert arrays["latent"].shape == (4, 1, 16, 16)
        np.testing.assert_array_equal(arrays["latent"].reshape(4, -1)[2:], good.flat)


def fail_one(
    monkeypatch: pytest.MonkeyPatch, results: list[Result], bundle: Path, *words: str
) -> int:
    monkeypatch.setattr(Runtime, "generate", lambda *_, **__: results)
    conditions = [str(number) for number in range(len(results))]
    return main(["generate", str(bundle), *conditions, "--images", "2", *words])


def test_the_others_are_written_and_the_command_fails(
    good: Result,
    bad: Result,
    digits_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fail_one(monkeypatch, [bad, good], digits_bundle, "--out", str(tmp_path)) == 1
    shown = capsys.readouterr()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-0-0.png", "1-0-1.png"]
    assert "failed   0: stage 3 is NaN" in shown.out
    assert shown.err.splitlines()[-1] == "denoisert: NonFinite: stage 3 is NaN"


def test_nothing_is_written_when_all_fail(
    bad: Result, digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fail_one(monkeypatch, [bad, bad], digits_bundle, "--out", str(tmp_path / "out")) == 1
    assert not list(tmp_path.iterdir())


def test_states_that_are_no_pictures_are_refused_before_work(digits_bundle: Path) -> None:
    card = replace(Bundle.open(digits_bundle).card, picture=None)
    with pytest.raises(InvalidInput, match="--latents"):
        generate._check_pictures(card)


def test_long_lists_of_files_are_shortened(
    digits_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["1", "--images", "20", "--steps", "1", "--out", str(tmp_path)]
    assert main(["generate", str(digits_bundle), *words]) == 0
    text = capsys.readouterr().out
    assert text.count("wrote ") == generate.SHOWN_FILES + 1
    assert "12 more" in text
    assert len(list(tmp_path.iterdir())) == 20


def test_a_table_for_programs_has_the_lines_of_the_table_for_people(
    digits_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["inspect", str(digits_bundle), "--table", "--steps", "3"]
    assert main(words) == 0
    people = capsys.readouterr().out.splitlines()
    assert main([*words, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [data["sampler"], *data["lines"]] == people


def test_inspect_says_what_the_null_condition_is(
    digits_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(digits_bundle)]) == 0
    assert "classes 0 to 9, null 10" in capsys.readouterr().out
