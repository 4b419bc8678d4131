"""Cards of several layouts: what varies in their graphs, and what is refused."""

from dataclasses import replace

import pytest

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.bundle.sizes import (
    axis_names,
    coder_sizes,
    condition_dims,
    conditions_at,
    picture_dims,
    pixel_size,
    pixel_sizes,
    state_dims,
    state_sizes,
    tile_at,
    tile_dims,
    timed_name,
    timed_sizes,
)
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from tests.runtime.coders import coder_card
from tests.runtime.networks import perceptron


def planes(*sizes, channels=4):
    return tuple(StateLayout((Part("latent", (channels, *size)),)) for size in sizes)


@pytest.fixture
def card():
    """Latents of 8 x 12, 4 x 12 and 16 x 12, in tiles of at most 8 x 12."""
    return replace(coder_card((8, 12), (8, 12)), further=planes((4, 12), (16, 12)))


def test_axes_that_differ_have_names_and_the_others_numbers(card):
    assert state_dims(card) == ((4, "height", 12),)
    assert [state_sizes(card, layout)["height"] for layout in card.layouts] == [8, 4, 16]
    assert tile_dims(card) == ("height", 12)
    assert picture_dims(card) == ("picture_height", 24)
    assert [tile_at(card, layout) for layout in card.layouts] == [(8, 12), (4, 12), (8, 12)]
    assert coder_sizes(card, card.further[0]) == {"height": 4, "picture_height": 8}


def test_a_card_of_one_layout_names_nothing():
    card = coder_card((8, 12), (4, 6))
    assert card.layouts == (card.layout,)
    assert state_dims(card) == ((4, 8, 12),)
    assert (tile_dims(card), picture_dims(card)) == ((4, 6), (8, 12))
    assert state_sizes(card, card.layout) == coder_sizes(card, card.layout) == {}


def test_a_tile_that_every_latent_holds_is_fixed():
    card = replace(coder_card((8, 12), (4, 6)), further=planes((4, 24)))
    assert state_dims(card) == ((4, "height", "width"),)
    assert tile_dims(card) == (4, 6)
    assert coder_sizes(card, card.further[0]) == {}


def test_a_tile_may_be_larger_than_some_of_the_latents_but_not_than_all():
    with pytest.raises(InvalidInput, match="larger than the latent"):
        coder_card((8, 12), (16, 12))
    card = coder_card((8, 12), (8, 12))
    larger = replace(card.autoencoder, tile=(16, 12))
    further = planes((16, 8))
    with pytest.raises(InvalidInput, match=r"\(17, 12\) is larger than the latent \(16, 12\)"):
        replace(card, autoencoder=replace(larger, tile=(17, 12)), further=further)
    assert tile_at(replace(card, autoencoder=larger, further=further), further[0]) == (16, 8)


def test_parts_behind_the_first_carry_their_names():
    assert axis_names(Part("latent", (4, 8, 12))) == ("latent_0", "height", "width")
    clip = axis_names(Part("clip", (4, 3, 8, 12)), "clip_")
    assert clip == ("clip_0", "clip_1", "clip_height", "clip_width")
    assert axis_names(Part("sound", (2, 9)), "sound_") == ("sound_0", "sound_width")
    assert axis_names(Part("vector", (7,))) == ("vector_0",)


def test_parts_of_their_own_sizes_have_axes_of_their_own():
    def both(size, length):
        return StateLayout((Part("picture", (2, *size)), Part("sound", (3, length))))

    card = perceptron(layout=both((6, 5), 7)).card(further=(both((6, 8), 9),))
    assert state_dims(card) == ((2, 6, "width"), (3, "sound_width"))
    assert state_sizes(card, card.further[0]) == {"width": 8, "sound_width": 9}


def test_what_lies_beside_the_latent_has_its_sizes(card):
    told = card.conditions
    mask = ConditionInput("mask", Source.MASK, "float32", (1, 8, 12))
    hidden = ConditionInput("hidden", Source.EXTERNAL_PICTURE, "float32", (4, 8, 12))
    given = ConditionInput("given", Source.EXTERNAL_ARRAY, "float32", (1, 8, 12))
    both = replace(card, conditions=(*told, mask, hidden, given))
    assert [condition_dims(both, entry) for entry in both.conditions] == [
        *((), (1, "height", 12), (4, "height", 12), (1, 8, 12)),
    ]
    shapes = [entry.shape for entry in conditions_at(both, both.further[0])]
    assert shapes == [(), (1, 4, 12), (4, 4, 12), (1, 8, 12)]
    assert conditions_at(both, both.layout) == both.conditions
    alone = replace(both, further=())
    assert conditions_at(alone, alone.layout) is alone.conditions
    assert condition_dims(alone, mask) == (1, 8, 12)


def test_a_graph_is_measured_once_for_each_of_its_sizes(card):
    assert timed_sizes(card, "denoiser") == {
        "denoiser": {"height": 8},
        "denoiser 8x24": {"height": 4},
        "denoiser 32x24": {"height": 16},
    }
    assert list(timed_sizes(card, "decoder")) == ["decoder", "decoder 8x24"]
    assert timed_sizes(card, "text_encoder") == {"text_encoder": {}}
    assert timed_name(card, "encoder", card.further[1]) == "encoder"  # in tiles of the first


def test_sizes_in_pixels(card):
    assert [pixel_size(card, each) for each in card.layouts] == [(16, 24), (8, 24), (32, 24)]
    assert pixel_sizes(card) == "16x24, 8x24 and 32x24"
    assert pixel_sizes(coder_card((8, 12), (8, 12))) == "16x24"
    vector = perceptron(layout=StateLayout((Part("latent", (7,)),))).card()
    assert pixel_size(vector, vector.layout) is None
    assert pixel_sizes(vector) == "a state of shape (7,)"


def test_further_layouts_are_kept_in_json_and_missing_where_there_are_none(card):
    assert Card.from_json(card.to_json()) == card
    alone = replace(card, further=())
    assert "further" not in alone.to_dict()
    assert Card.from_json(alone.to_json()) == alone


OTHERS = {
    "channels": planes((4, 12), channels=5),
    "name": (StateLayout((Part("other", (4, 4, 12)),)),),
    "rank": (StateLayout((Part("latent", (4, 4)),)),),
    "the same again": planes((8, 12)),
    "one of them twice": planes((4, 12), (4, 12)),
    "another part": (StateLayout((Part("latent", (4, 4, 12)), Part("more", (1,)))),),
}


@pytest.mark.parametrize("further", OTHERS.values(), ids=OTHERS)
def test_further_layouts_differ_in_sizes_alone(further):
    with pytest.raises(InvalidInput, match="the parts and channels of the first"):
        replace(coder_card((8, 12), (8, 12)), further=further)


def test_states_without_pixels_have_one_layout():
    layout, other = (StateLayout((Part("latent", (size,)),)) for size in (7, 7 * 2))
    with pytest.raises(InvalidInput, match="parts and channels"):
        perceptron(layout=layout).card(further=(other,))


def test_codec_axes_need_an_autoencoder():
    card = perceptron().card()
    for question in (tile_dims, picture_dims):
        with pytest.raises(InvalidInput, match="no autoencoder"):
            question(card)
