"""Values by name, on both branches, from a toy that is told the size of its picture."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denoisert.runtime import CFG, Condition, EmbeddedGuidance, Request, Runtime, Start
from denoisert.runtime.bundle.card import Recommended
from denoisert.runtime.cli import main, told
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.schedules import Trailing
from denoisert.runtime.sampling.solvers import FlowEuler
from tests.runtime.coders import FACTOR, TEXT, TOLD
from tests.runtime.networks import perceptron
from tests.runtime.repainting import repainting_bundle, repainting_card
from tests.runtime.sampling.test_embedded import card_of
from tests.runtime.sized import SIZES

HEIGHT, WIDTH = (side * FACTOR for side in SIZES[0])
ADVICE = Recommended(FlowEuler(), Trailing(), 3, CFG(2.0))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    card = repainting_card(*SIZES, sampler=ADVICE)
    return repainting_bundle(tmp_path_factory.mktemp("told"), card)


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("conditions", nargs="*")
    told.add_options(parser)
    return parser.parse_args(words)


def test_what_the_words_mean() -> None:
    labels = perceptron().card()
    assert told.conditions(parsed("3", "4"), labels) == [Condition(3), Condition(4)]
    assert told.conditions(parsed(), perceptron().card(conditions=())) == [Condition(None)]
    words = ("3", "--condition", "crop_top=5", "--condition", "score=6.5")
    sizes = {"label": 3, "crop_top": 5, "score": 6.5}
    assert told.conditions(parsed(*words), labels) == [Condition(sizes)]
    words = ("3", "--negative", "1", "--negative-condition", "score=2.5")
    assert told.conditions(parsed(*words), labels) == [Condition(3, {"label": 1, "score": 2.5})]
    texts = perceptron().card(conditions=(TOLD,), texts=(TEXT,))
    words = ("7", "--condition", "text_encoder=3=4", "--condition", "x=a b")
    assert told.conditions(parsed(*words), texts) == [
        Condition({"prompt": "7", "text_encoder": "3=4", "x": "a b"})
    ]


def test_a_network_that_has_to_be_told_something_says_what() -> None:
    with pytest.raises(InvalidInput, match=r"toy has to be told a class, 0 to 9: denoisert"):
        told.conditions(parsed(), perceptron().card())
    named = replace(perceptron().conditions[0], classes=3, null=None, labels=("cat", "dog", "3"))
    with pytest.raises(InvalidInput, match="a class, cat, dog, 3:"):
        told.conditions(parsed("--negative", "1"), perceptron().card(conditions=(named,)))
    texts = perceptron().card(conditions=(TOLD,), texts=(TEXT,))
    with pytest.raises(InvalidInput, match="a prompt, such as"):
        told.conditions(parsed(), texts)
    words = ("--condition", "prompt=red apple")
    assert told.conditions(parsed(*words), texts) == [Condition({"prompt": "red apple"})]


@pytest.mark.parametrize(
    "words",
    [
        ("red", "--condition", "prompt=green"),
        ("red", "--condition", "x=1", "--condition", "x=2"),
        ("red", "--negative", "a", "--negative-condition", "prompt=b"),
    ],
)
def test_what_is_said_twice_is_refused(words: tuple[str, ...]) -> None:
    texts = perceptron().card(conditions=(TOLD,), texts=(TEXT,))
    with pytest.raises(InvalidInput, match=r"is said twice, .*prompt=CONDITION"):
        told.conditions(parsed(*words), texts)


def test_a_picture_of_another_compiled_size_asks_for_it(bundle: Path, tmp_path: Path) -> None:
    height, width = (side * FACTOR for side in SIZES[1])
    pixels = np.random.default_rng(4).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    Image.fromarray(np.full((height, width), 255, np.uint8)).save(tmp_path / "mask.png")
    words = ["3", "--init-image", "picture.png", "--mask", "mask.png", "--latents", "found.npz"]
    words = [str(tmp_path / word) if "." in word else word for word in words]
    assert main(["generate", str(bundle), *words]) == 0
    with np.load(tmp_path / "found.npz") as arrays:
        assert arrays["latent"].shape[-2:] == SIZES[1]
    Image.fromarray(pixels[:-1]).save(tmp_path / "picture.png")
    assert main(["generate", str(bundle), *words]) == 2


def test_pictures_are_those_of_the_runtime(bundle: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, : WIDTH // 2] = 200
    files = [tmp_path / "picture.png", tmp_path / "mask.png"]
    for path, values in zip(files, (pixels, mask), strict=True):
        Image.fromarray(values).save(path)
    latents = tmp_path / "latents.npz"
    words = ["3", "--init-image", files[0], "--mask", files[1], "--strength", "0.7"]
    words += ["--condition", "height=30", "--negative-condition", "width=2", "--latents", latents]
    assert main(["generate", str(bundle), *map(str, words)]) == 0
    request = Request(
        Condition({"label": 3, "height": 30}, {"width": 2}), start=Start(pixels, 0.7, mask=mask)
    )
    with Runtime.open(bundle, threads=1) as runtime, np.load(latents) as arrays:
        truth = runtime.generate(request).latents["latent"]
        np.testing.assert_array_equal(arrays["latent"], truth)
        other = runtime.generate(Request(3, start=Start(pixels, 0.7, mask=mask)))
        assert np.abs(other.latents["latent"] - truth).max() > 0.1


def test_guidance_is_told_to_a_network_that_takes_a_scale() -> None:
    from denoisert.runtime.cli import sampler

    parser = argparse.ArgumentParser()
    sampler.add_options(parser)
    asked = sampler.request(parser.parse_args(["--guidance", "4"]), card_of("scale"))
    assert asked.guidance == EmbeddedGuidance(4.0)
    plain = sampler.request(parser.parse_args(["--guidance", "4"]), perceptron().card())
    assert plain.guidance == CFG(4.0)
