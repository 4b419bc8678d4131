"""Signatures: what the card promises about every graph, and inputs drawn for it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from denoisert.export.graph.ports import check_ports
from denoisert.export.graph.signature import (
    FEW,
    LANES,
    MORE,
    Signature,
    decoder_signature,
    denoiser_signature,
    encoder_signature,
    text_signature,
)
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import ConditionInput, Source, TextEncoder
from denoisert.runtime.bundle.picture import Autoencoder, Picture
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from tests.export.networks import TWO_PARTS_CARD, card_of

TEXT = TextEncoder("words", "tokenizers/words.json", 6, (1,), (2,), 0)
STATES = ConditionInput(
    "states", Source.ENCODER_OUTPUT, "float32", (6, 3), encoder="words", output="states"
)
POOLED = ConditionInput("pooled", Source.POOLED, "float32", (3,), encoder="words", output="pooled")
MASK = ConditionInput("mask", Source.TOKEN_MASK, "bool", (6,), encoder="words")


def text_card() -> Card:
    card = card_of((Part("latent", (4, 6, 8)),), conditions=())
    return dataclasses.replace(
        card,
        conditions=(STATES, POOLED, MASK),
        texts=(TEXT,),
        picture=Picture(0.0, 2.0),
        autoencoder=Autoencoder(8, 3, (3, 4)),
    )


def ports(signature: Signature) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    return signature.inputs, signature.outputs


def test_a_denoiser_takes_state_time_and_conditions() -> None:
    inputs, outputs = ports(denoiser_signature(text_card()))
    assert inputs == (
        Port("latent", "float32", (LANES, 4, 6, 8)),
        Port("time", "float32", (LANES,)),
        Port("states", "float32", (LANES, 6, 3)),
        Port("pooled", "float32", (LANES, 3)),
        Port("mask", "bool", (LANES, 6)),
    )
    assert outputs == (Port("velocity", "float32", (LANES, 4, 6, 8)),)


@pytest.mark.parametrize(("size", "lanes"), [(16, MORE), (64, FEW)])
def test_large_networks_are_compared_on_fewer_lanes(size: int, lanes: tuple[int, ...]) -> None:
    card = card_of((Part("latent", (4, size, size)),), conditions=())
    assert denoiser_signature(card).lanes == lanes


def test_slices_of_one_output_are_one_name() -> None:
    signature = denoiser_signature(TWO_PARTS_CARD)
    assert [port.dims[1] for port in signature.outputs if port.name == "mixed"] == [3, 6]
    assert signature.output_names == ("mixed", "scaled")
    assert signature.is_sliced


def test_a_text_encoder_returns_what_conditions_read_and_no_mask() -> None:
    signature = text_signature(text_card(), TEXT, 50)
    assert signature.component == "words"
    assert ports(signature) == (
        (Port("token_ids", "int64", (LANES, 6)),),
        (
            Port("states", "float32", (LANES, 6, 3)),
            Port("pooled", "float32", (LANES, 3)),
        ),
    )


def test_one_output_that_two_conditions_read_is_there_once() -> None:
    again = dataclasses.replace(STATES, name="again")
    card = dataclasses.replace(text_card(), conditions=(STATES, again))
    assert text_signature(card, TEXT, 50).output_names == ("states",)


def test_coders_take_and_return_one_tile() -> None:
    latent = Port("latent", "float32", (LANES, 4, 3, 4))
    picture = Port("picture", "float32", (LANES, 3, 24, 32))
    assert ports(decoder_signature(text_card())) == ((latent,), (picture,))
    inputs, outputs = ports(encoder_signature(text_card()))
    assert inputs == (picture,)
    assert outputs == tuple(dataclasses.replace(latent, name=name) for name in ("mean", "std"))
    assert decoder_signature(text_card()).lanes == encoder_signature(text_card()).lanes == FEW


@pytest.mark.parametrize("make", [decoder_signature, encoder_signature])
def test_a_card_without_autoencoder_has_no_coders(make) -> None:
    with pytest.raises(InvalidInput, match="no autoencoder"):
        make(card_of())


def test_drawn_inputs_fit_and_stay_in_their_range() -> None:
    card = text_card()
    signatures = (
        denoiser_signature(card),
        text_signature(card, TEXT, 50),
        decoder_signature(card),
        encoder_signature(card),
    )
    for signature in signatures:
        drawn = signature.draw(7, np.random.default_rng(1))
        assert {name: (value.dtype.name, value.shape) for name, value in drawn.items()} == {
            port.name: (port.dtype, port.shape(7)) for port in signature.inputs
        }
    tokens = signatures[1].draw(200, np.random.default_rng(2))["token_ids"]
    assert (tokens.min(), tokens.max()) == (0, 49)
    picture = signatures[3].draw(2, np.random.default_rng(3))["picture"]
    assert 0 <= picture.min() < 0.01 < 1.99 < picture.max() <= 2


@pytest.mark.parametrize("channels", [2, 4])
def test_only_sliced_outputs_may_have_more_channels(channels: int) -> None:
    signature = decoder_signature(text_card())
    (picture,) = signature.outputs
    other = dataclasses.replace(picture, dims=(LANES, channels, *picture.dims[2:]))
    check_ports(signature, signature.inputs, signature.outputs)
    with pytest.raises(InvalidInput, match=r"'picture' has shape .* the card reads \('lanes', 3"):
        check_ports(signature, signature.inputs, (other,))


def sized_card() -> Card:
    """A card of latents (4, 6, 8), (4, 6, 4) and (4, 3, 4), decoded in tiles of at most (3, 4)."""
    card = text_card()
    (part, *_) = card.layout.parts
    further = (StateLayout((dataclasses.replace(part, shape=(4, *size)),)) for size in LESS)
    return dataclasses.replace(card, further=tuple(further))


LESS = ((6, 4), (2, 4))


def test_axes_on_which_layouts_differ_have_names() -> None:
    signature = denoiser_signature(sized_card())
    assert signature.inputs[0].dims == (LANES, 4, "height", "width")
    assert signature.outputs[0].dims == (LANES, 4, "height", "width")
    assert signature.sizes == (
        {"height": 6, "width": 8},
        {"height": 6, "width": 4},
        {"height": 2, "width": 4},
    )
    assert denoiser_signature(text_card()).sizes == ({},)


def test_coders_vary_up_to_their_tile() -> None:
    signature = decoder_signature(sized_card())
    assert signature.inputs[0].dims == (LANES, 4, "height", 4)
    assert signature.outputs[0].dims == (LANES, 3, "picture_height", 32)
    assert signature.sizes == (
        {"height": 3, "picture_height": 24},
        {"height": 2, "picture_height": 16},
    )
    assert encoder_signature(sized_card()).sizes == signature.sizes


def test_a_signature_at_a_size_is_one_of_that_size() -> None:
    for signature in (denoiser_signature(sized_card()), encoder_signature(sized_card())):
        for sizes in signature.sizes:
            fixed = signature.at(sizes)
            assert not any(port.open_axes for port in (*fixed.inputs, *fixed.outputs))
            drawn = fixed.draw(3, np.random.default_rng(0))
            again = signature.draw(3, np.random.default_rng(0), sizes)
            for port in fixed.inputs:
                assert drawn[port.name].shape == port.shape(3)
                np.testing.assert_array_equal(drawn[port.name], again[port.name])
