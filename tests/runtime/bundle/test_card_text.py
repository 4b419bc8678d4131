"""Text encoders and the autoencoder in a card: what fits together, and what is refused."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from denoisert.runtime.bundle.card import (
    Card,
    Network,
    OutputSlice,
    Recommended,
    TimeShape,
    Training,
)
from denoisert.runtime.bundle.condition import ConditionInput, Source, TextEncoder
from denoisert.runtime.bundle.picture import Autoencoder, Picture
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import ScaledLinear, Trailing
from denoisert.runtime.sampling.solvers import DDIM

DOCUMENT = Path(__file__).parents[3] / "docs" / "card.md"
TEXT = TextEncoder("words", "tokenizers/words.json", 8, (1,), (2,), 0)
STATES = ConditionInput(
    "states", Source.ENCODER_OUTPUT, "float32", (8, 4), encoder="words", output="states"
)
MASK = ConditionInput("mask", Source.TOKEN_MASK, "bool", (8,), encoder="words")
CODER = Autoencoder(8, 3, (4, 4), readout=((0.1, 0.2, 0.3),) * 3)
ONE_WAY = dataclasses.replace(CODER, has_encoder=False)
CARD = Card(
    name="tiny",
    licence="MIT",
    training=Training(Parametrisation.EPS, ScaledLinear()),
    layout=StateLayout((Part("latent", (2, 8, 8)),)),
    conditions=(STATES, MASK),
    network=Network("time", TimeShape.LANES, "float32", ((OutputSlice("eps", 0, 2),),)),
    sampler=Recommended(DDIM(), Trailing(), 5),
    picture=Picture(),
    texts=(TEXT,),
    autoencoder=CODER,
)


def changed(**fields: object) -> Card:
    return dataclasses.replace(CARD, **fields)


def test_it_survives_json_with_every_field() -> None:
    assert Card.from_json(CARD.to_json()) == CARD
    plain = CARD.to_dict()
    assert plain["texts"][0]["end"] == [2]
    assert plain["autoencoder"]["readout"][2] == [0.1, 0.2, 0.3]
    assert plain["conditions"][1]["output"] == ""


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, ("denoiser", "words", "decoder", "encoder")),
        ({"texts": (), "conditions": ()}, ("denoiser", "decoder", "encoder")),
        ({"autoencoder": ONE_WAY}, ("denoiser", "words", "decoder")),
        ({"autoencoder": None}, ("denoiser", "words")),
    ],
)
def test_components_follow_from_the_card(fields: dict[str, Any], names: tuple[str, ...]) -> None:
    assert changed(**fields).components == names


def test_the_document_names_every_field() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for kind in (ConditionInput, TextEncoder, Autoencoder):
        for field in dataclasses.fields(kind):
            assert re.search(rf"[.`]{field.name}`", text), f"{kind.__name__}.{field.name}"


def test_room_is_what_the_special_tokens_leave() -> None:
    assert TEXT.room == 6
    assert dataclasses.replace(TEXT, end=()).room == 7


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"texts": ()}, "its conditions use"),
        ({"conditions": ()}, "its conditions use"),
        ({"texts": (TEXT, TEXT)}, "a name of its own"),
        (
            {"texts": (TEXT, dataclasses.replace(TEXT, name="other"))},
            r"\['words', 'other'\] and its conditions use \['words'\]",
        ),
    ],
)
def test_encoders_and_conditions_belong_together(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        changed(**fields)


@pytest.mark.parametrize("name", ["denoiser", "decoder", "encoder"])
def test_an_encoder_cannot_have_the_name_of_another_graph(name: str) -> None:
    states = dataclasses.replace(STATES, encoder=name)
    text = dataclasses.replace(TEXT, name=name)
    with pytest.raises(InvalidInput, match="is none of denoiser, decoder, encoder"):
        changed(texts=(text,), conditions=(states,))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tokens": 0}, "takes 0 tokens"),
        ({"tokens": 2}, "leaves none"),
        ({"start": (1,) * 7}, "leaves none"),
        ({"template": "a photo"}, "exactly one"),
        ({"template": "{} and {}"}, "exactly one"),
    ],
)
def test_a_text_encoder_without_room_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        dataclasses.replace(TEXT, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"encoder": ""},
        {"output": ""},
        {"source": Source.TOKEN_MASK},
        {"source": Source.EXTERNAL_ARRAY},
        {"source": Source.ZEROS, "encoder": ""},
    ],
)
def test_text_names_encoder_and_output_and_nothing_else_does(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="names its encoder"):
        dataclasses.replace(STATES, **fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"factor": 0}, "factor 0"),
        ({"channels": 0}, "0 channels"),
        ({"tile": (4,)}, "a tile is"),
        ({"tile": (4, 0)}, "a tile is"),
        ({"overlap": 0.6}, "overlap by 0.6"),
        ({"overlap": -0.1}, "overlap by -0.1"),
        ({"readout": ((0.0, 0.0, 0.0),)}, "1 rows for 3"),
    ],
)
def test_an_autoencoder_that_cannot_be_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        dataclasses.replace(CODER, **fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"picture": None}, "needs the card's picture"),
        ({"layout": StateLayout((Part("latent", (2, 8)),))}, "first part"),
        ({"autoencoder": dataclasses.replace(CODER, tile=(9, 4))}, "larger than the latent"),
        ({"autoencoder": dataclasses.replace(CODER, readout=((0.1, 0.2),) * 3)}, r"\[2\] numbers"),
    ],
)
def test_autoencoder_and_latent_belong_together(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        changed(**fields)
