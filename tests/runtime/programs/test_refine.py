"""Two runtimes as one: with one network on both sides a divided run is the run."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denoisert.runtime import (
    CFG,
    DPMpp2M,
    Euler,
    EulerAncestral,
    Noised,
    Refined,
    Request,
    Runtime,
    Start,
    Trace,
    Unguided,
    refine,
)
from denoisert.runtime.cli.__main__ import main
from denoisert.runtime.errors import DeadlineExceeded, InvalidInput
from denoisert.runtime.request import Limits

ASKED = Request(3, seed=5, images=2, steps=8, solver=Euler(), guidance=CFG(2.0))
WORDS = Request("red apple", seed=5, images=2, steps=8, solver=Euler(), guidance=CFG(3.0))


@pytest.fixture(scope="module")
def pair(digits_bundle: Path) -> Iterator[tuple[Runtime, Runtime]]:
    with (
        Runtime.open(digits_bundle, threads=1) as one,
        Runtime.open(digits_bundle, threads=1) as two,
    ):
        yield one, two


@pytest.fixture(scope="module")
def words(text_bundle: Path) -> Iterator[tuple[Runtime, Runtime]]:
    with Runtime.open(text_bundle, threads=1) as one, Runtime.open(text_bundle, threads=1) as two:
        yield one, two


@pytest.mark.parametrize("share", [0.8, 0.5, 0.2])
def test_a_divided_run_is_the_run(pair: tuple[Runtime, Runtime], share: float) -> None:
    """Every picture from its own latent, bit for bit."""
    whole, found = pair[0].generate(ASKED), refine(*pair, ASKED, share=share)
    np.testing.assert_array_equal(found.flat, whole.flat)
    assert found.nfe == whole.nfe == 16
    assert not np.array_equal(found.flat[0], found.flat[1])


def test_a_divided_run_of_words_is_the_run(words: tuple[Runtime, Runtime]) -> None:
    whole, found = words[0].generate(WORDS), refine(*words, WORDS, share=0.6)
    np.testing.assert_array_equal(found.flat, whole.flat)
    np.testing.assert_array_equal(found.pixels, whole.pixels)


def test_a_multistep_solver_begins_anew(pair: tuple[Runtime, Runtime]) -> None:
    """As in diffusers, whose second scheduler remembers nothing of the first."""
    asked = replace(ASKED, solver=DPMpp2M())
    whole, found = pair[0].generate(asked).flat, refine(*pair, asked, share=0.5).flat
    error = np.abs(whole - found).max() / np.abs(whole).max()
    assert 1e-4 < error < 0.5


def test_noise_behind_the_handover_is_new(pair: tuple[Runtime, Runtime]) -> None:
    """Not the first steps' once more: with the same seed the refiner would add what was there."""
    asked = replace(ASKED, solver=EulerAncestral())
    between = Refined(*pair, 0.5)._handover
    left = pair[0].generate(between.first(asked)).flat
    second = between.second(asked, left)
    found = refine(*pair, asked, share=0.5).flat
    again = pair[1].generate(replace(second, seed=asked.seed)).flat
    assert np.abs(found - again).max() > 0.1
    np.testing.assert_array_equal(found, pair[1].generate(second).flat)


def test_several_requests_and_what_is_told_of_them(pair: tuple[Runtime, Runtime]) -> None:
    asked = [ASKED, replace(ASKED, condition=7, images=1, guidance=Unguided())]
    rows, trace = [], Trace()
    found = Refined(*pair).generate(asked, progress=lambda *seen: rows.append(seen), trace=trace)
    for each, result in zip(asked, found, strict=True):
        np.testing.assert_array_equal(result.flat, pair[0].generate(each).flat)
    assert rows[-1][0] == rows[-1][1] == 2 + 1  # at 0.125, below 0.2: one step of three pictures
    assert {"plan", "queue", "ticks", "engine"} <= found[0].phases.keys()
    assert [span.name for span in trace.spans].count("ticks") == 4


def test_one_that_fails_does_not_disturb_the_others(pair: tuple[Runtime, Runtime]) -> None:
    late = replace(ASKED, limits=Limits(deadline_s=1e-9))
    failed, found = Refined(*pair).generate([late, ASKED])
    assert isinstance(failed.error, DeadlineExceeded)
    np.testing.assert_array_equal(found.flat, pair[0].generate(ASKED).flat)
    with pytest.raises(DeadlineExceeded):
        Refined(*pair).generate(late)


def test_both_are_planned_before_anything_runs(pair: tuple[Runtime, Runtime]) -> None:
    first, second = Refined(*pair, 0.5).plan(ASKED)
    assert (first.stages, second.stages, first.steps) == (5, 3, 8)  # 0.5 itself is the base's
    before = pair[0].stats()["requests_submitted"]
    with pytest.raises(InvalidInput, match="class 11"):
        refine(*pair, replace(ASKED, condition=11))
    with pytest.raises(InvalidInput, match="no request"):
        Refined(*pair).plan("apple")  # type: ignore[arg-type]
    assert pair[0].stats()["requests_submitted"] == before


def test_what_the_base_leaves_is_not_decoded(words: tuple[Runtime, Runtime]) -> None:
    first = Refined(*words, 0.6)._handover.first(WORDS)
    found = words[0].generate(first)
    assert found.pixels is None
    assert "decode" not in found.phases
    with pytest.raises(InvalidInput, match="not pictures"):
        _ = found.images
    assert "decode" in words[0].generate(WORDS).phases


def test_a_latent_for_every_picture(words: tuple[Runtime, Runtime]) -> None:
    """Shaped or flat; each picture is what its latent makes alone."""
    runtime, _ = words
    latents = np.random.default_rng(3).standard_normal((2, 4, 8, 8)).astype(np.float32)
    asked = replace(WORDS, solver=EulerAncestral(), start=Start(latents, 0.5))
    both = runtime.generate(asked).flat
    flat = runtime.generate(replace(asked, start=Start(latents.reshape(2, -1), 0.5))).flat
    np.testing.assert_array_equal(both, flat)
    for image in range(2):
        shared = runtime.generate(replace(asked, start=Start(latents[image], 0.5))).flat
        np.testing.assert_array_equal(both[image], shared[image])
    already = Start(latents, noised=Noised.ALREADY)
    assert not np.array_equal(runtime.generate(replace(asked, start=already)).flat, both)


@pytest.mark.parametrize("count", [1, 3])
def test_latents_of_other_pictures(words: tuple[Runtime, Runtime], count: int) -> None:
    start = Start(np.zeros((count, 4, 8, 8), np.float32), 0.5)
    with pytest.raises(InvalidInput, match="or 2 of either, one for each picture"):
        words[0].plan(replace(WORDS, start=start))


def test_the_command(text_bundle: Path, tmp_path: Path, words: tuple[Runtime, Runtime]) -> None:
    options = ["--steps", "8", "--solver", "euler", "--guidance", "3", "--seed", "5"]
    both = ["--refiner", str(text_bundle), "--switch", "0.6"]
    out = ["--out", str(tmp_path / "out")]
    assert main(["generate", str(text_bundle), "red apple", *options, *both, *out]) == 0
    with Image.open(tmp_path / "out" / "red_apple-5-0.png") as picture:
        found = np.asarray(picture)
    wanted = refine(*words, replace(WORDS, images=1), share=0.6)
    np.testing.assert_array_equal(found, np.asarray(wanted.images[0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--switch", "0.6"], "--switch needs --refiner BUNDLE"),
        (["--refiner", "{bundle}", "--switch", "1.5"], "a share of the run between 0 and 1"),
        (["--refiner", "nowhere"], "nowhere"),
    ],
)
def test_the_command_refuses(
    text_bundle: Path, tmp_path: Path, capsys, options: list[str], message: str
) -> None:
    options = [option.format(bundle=text_bundle) for option in options]
    out = ["--out", str(tmp_path / "out")]
    assert main(["generate", str(text_bundle), "red apple", *options, *out]) != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
