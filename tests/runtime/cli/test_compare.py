"""`denoisert compare` through `main`."""

import numpy as np
import pytest
from PIL import Image

from denoisert.runtime import Condition, Euler, FlowHeun, Request, Runtime
from denoisert.runtime.cli import main
from denoisert.runtime.measure.against import read
from denoisert.runtime.measure.quality import amplified, difference
from tests.runtime.cli.test_bench import STORED

SHORT = ["--repeats", "1", "--threads", "1"]


def compare(*words, a=STORED, b=STORED):
    return main(["compare", str(a), str(b), *map(str, words), *SHORT])


def pictures(**fields):
    with Runtime.open(STORED, threads=1) as runtime:
        results = runtime.generate(
            [Request(Condition(1), seed=7 + n, images=2, **fields) for n in range(1)]
        )
    return [np.asarray(picture) for result in results for picture in result.images]


def test_the_same_on_both_sides_is_equal_pixel_by_pixel(capsys):
    assert compare() == 0
    text = capsys.readouterr().out
    assert "latents  largest relative difference 0.00e+00" in text
    assert text.count("equal pixel by pixel") == 4  # three classes and all of them
    assert "psnr" not in text.lower()


def test_two_samplers_are_told_apart_and_drawn(tmp_path, capsys):
    grid, out = tmp_path / "g.png", tmp_path / "r.jsonl"
    words = ["1", "--seed", 7, "--images", 2, "--solver", "euler", "--steps", 6]
    words += ["--b-solver", "flow_heun", "--b-steps", 2, "--grid", grid, "--out", out]
    assert compare(*words) == 0
    text = capsys.readouterr().out
    assert "A        tiny e9a1f37b, Euler(), 6 steps, 12 evaluations" in text
    assert "B        tiny e9a1f37b, FlowHeun(), 2 steps" in text
    ours, theirs = pictures(steps=6, solver=Euler()), pictures(steps=2, solver=FlowHeun())
    whole = difference(np.concatenate(ours), np.concatenate(theirs))
    first, second = read(out)
    assert first.case == "compare/tiny A: Euler(), 6 steps"
    assert second.case == "compare/tiny B: FlowHeun(), 2 steps"
    assert (first.repeats, "ssim" in first.extra) == ((1, 1), False)
    assert second.extra["psnr_db"] == pytest.approx(whole.psnr)
    assert second.extra["max_error"] == whole.largest > 0
    with Image.open(grid) as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape == (2 * 66 - 2, 3 * 66 - 2)
    for row, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        expected = (one, other, amplified(one, other, 10))
        for column, picture in enumerate(expected):
            cell = pixels[66 * row : 66 * row + 64 : 16, 66 * column : 66 * column + 64 : 16]
            np.testing.assert_array_equal(cell, picture)


def test_what_b_leaves_out_it_does_as_a(capsys):
    assert compare("1", "--steps", 3, "--guidance", 1, "--b-solver", "flow_heun") == 0
    text = capsys.readouterr().out
    assert "Euler(), 3 steps, 3 evaluations" in text
    assert "FlowHeun(), 3 steps, 5 evaluations" in text


def test_two_bundles_with_other_states_compare_their_time_only(digits_bundle, capsys):
    words = ["1", "--b-steps", 2]
    assert compare(*words, b=digits_bundle) == 2
    captured = capsys.readouterr()
    assert "time     B takes" in captured.out
    assert "of different shapes, not compared" in captured.out
    assert "(4, 4) and (16, 16) cannot be compared" in captured.err


def test_equal_sides_have_no_psnr_in_their_records(tmp_path):
    out = tmp_path / "r.jsonl"
    assert compare("1", "--out", out) == 0
    first, second = read(out)
    assert (first.median > 0, second.median > 0) == (True, True)
    assert "psnr_db" not in second.extra
    assert (second.extra["ssim"], second.extra["max_error"]) == (pytest.approx(1.0), 0.0)
    assert first.extra["bundle"] == second.extra["bundle"]


def test_seeds_go_up_from_request_to_request(monkeypatch, capsys):
    asked = []
    generate = Runtime.generate
    monkeypatch.setattr(
        Runtime,
        "generate",
        lambda self, requests: asked.append(requests) or generate(self, requests),
    )
    assert compare("1", "2", "--seed", 40, "--negative", "0", "--images", 2) == 0
    first, *_ = asked
    assert [(request.seed, request.told) for request in first] == [
        (40, Condition(1, 0)),
        (41, Condition(2, 0)),
    ]
    assert all(requests == first for requests in asked)
    assert len(asked) == 4  # two sides, one round to warm up


def test_colours_are_compared_and_drawn(text_bundle, tmp_path, capsys):
    grid = tmp_path / "g.png"
    words = ["a cat", "--steps", 2]
    assert compare(*words, "--b-steps", 3, "--grid", grid, a=text_bundle, b=text_bundle) == 0
    text = capsys.readouterr().out
    assert "picture  a cat: PSNR" in text
    with Image.open(grid) as sheet:
        assert (sheet.mode, sheet.size) == ("RGB", (3 * 66 - 2, 64))


def test_a_text_model_has_four_prompts_to_start_with(text_bundle, capsys):
    assert compare("--steps", 2, a=text_bundle, b=text_bundle) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("picture  ")]) == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--repeats", "0"], "--repeats 0"),
        (["--grid", "a.jpg"], ".png"),
        (["--grid", STORED / "a.png"], "lies in the bundle"),
        (["--out", "a.json"], ".jsonl"),
        (["cow"], "cow"),
        (["1", "--b-solver", "eulr"], "eulr"),
        (["1", "--b-steps", "0"], "steps 0"),
    ],
)
def test_what_cannot_be_meant_is_one_line(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", str(STORED), str(STORED), *map(str, words)]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert says in error
    assert not list(tmp_path.iterdir())
