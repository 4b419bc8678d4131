"""docs/cli.md: every line is read by the command's parser, and runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denoisert.runtime.cli import VERBS, build_parser, main
from tests.layout.source import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
LINES = [line for block in BLOCKS for line in block.splitlines()]
TINY = "emoji.bundle"
OTHERS = {
    "my.bundle": "sd1",
    "inpaint.bundle": "sd1_inpaint",
    "base.bundle": "sdxl",
    "refiner.bundle": "sdxl_refiner",
    "flux.bundle": "flux_dev",
}
"""Bundles of the page -> the small family that stands in; its sizes for those of the page."""
SIZES = {"512": "32", "768x512": "48x32"}


def words_of(line: str) -> list[str]:
    return shlex.split(line, comments=True)


def is_large(line: str) -> bool:
    return any(word in OTHERS or word == "compile" for word in words_of(line))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's commands run, one after the other."""
    folder = tmp_path_factory.mktemp("page")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    mask = np.zeros((32, 32), np.uint8)
    mask[:, 16:] = 255
    for name, values in (("cat.png", pixels), ("mask.png", mask)):
        Image.fromarray(values).save(folder / name)
    return folder


def put(place: Path, name: str, bundle: Path) -> None:
    if not (place / name).exists():
        (place / name).symlink_to(bundle, target_is_directory=True)


def test_the_page_has_an_example_of_everything_people_ask_for():
    said = {word for line in LINES for word in words_of(line) if word.startswith("--")}
    assert said >= {
        *("--negative", "--images", "--size", "--init-image", "--strength", "--mask"),
        *("--refiner", "--switch", "--condition", "--negative-condition", "--guidance"),
        *("--beside", "--solver", "--schedule", "--rescale", "--interval"),
    }
    for verb in (*VERBS, "compile", "probe"):
        assert f"`{verb}" in PAGE, verb


@pytest.mark.parametrize("line", LINES)
def test_every_line_is_read(line):
    assert words_of(line)[0] == "denoisert"
    assert build_parser().parse_args(words_of(line)[1:]).func is not None


def test_what_needs_one_small_model_runs(place, text_bundle, monkeypatch, capsys):
    put(place, TINY, text_bundle)
    monkeypatch.chdir(place)
    for line in LINES:
        if not is_large(line):
            assert main(words_of(line)[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
    assert (place / "red_apple-0-0.png").is_file()
    assert (place / "grid.png").is_file()
    assert (place / "errors.svg").is_file()
    assert "not used" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "line", [line for line in LINES if is_large(line) and "compile" not in line]
)
def test_what_needs_a_family_runs(line, place, once, monkeypatch, capsys):
    from tests.export.families.bundles import family_bundle

    words = [SIZES.get(word, word) for word in words_of(line)[1:]]
    for word in words:
        if word in OTHERS:
            put(place, word, family_bundle(once, OTHERS[word]))
    monkeypatch.chdir(place)
    assert main(words) == 0, capsys.readouterr().err
    assert "wrote" in capsys.readouterr().out
