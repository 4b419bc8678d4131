"""Events are values; a preview draws itself only when somebody looks."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.events import Admitted, Ended, Preview, Stepped
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.result import preview_picture
from tests.runtime.networks import perceptron


def test_events_are_frozen_values():
    assert Stepped(0, 1, 5) == Stepped(0, 1, 5) != Stepped(1, 1, 5)
    assert Admitted() == Admitted()
    assert Ended() == Ended(None)
    with pytest.raises(FrozenInstanceError):
        Stepped(0, 1, 5).step = 2


def test_a_preview_is_drawn_by_whoever_looks():
    drawn = []
    preview = Preview(0, 3, np.ones(4, np.float32), lambda latent: drawn.append(latent) or "drawn")
    assert drawn == []
    assert repr(preview) == "Preview(image=0, step=3)"
    assert preview.picture == "drawn"
    assert drawn[0] is preview.latent


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_latent_that_is_a_picture_is_shown_as_it_is(channels, mode):
    card = perceptron(layout=StateLayout((Part("latent", (channels, 4, 6)),))).card()
    picture = preview_picture(card, np.full(card.layout.elements, 1.0, np.float32))
    assert (picture.mode, picture.size) == (mode, (6, 4))
    assert np.asarray(picture).min() == 255


def test_only_the_first_part_is_shown():
    layout = StateLayout((Part("latent", (1, 2, 2)), Part("sound", (7,))))
    card = perceptron(layout=layout).card()
    latent = np.concatenate([np.full(4, -1.0), np.full(7, 1.0)]).astype(np.float32)
    assert np.asarray(preview_picture(card, latent)).max() == 0


def test_latents_that_nobody_can_look_at_say_so():
    card: Card = perceptron().card()
    with pytest.raises(InvalidInput, match="not pictures"):
        preview_picture(card, np.zeros(60, np.float32))


def test_the_readout_of_a_card_draws_latents(text_bundle):
    from denoisert.runtime.bundle.open import Bundle

    card = Bundle.open(text_bundle).card
    picture = preview_picture(card, np.zeros(card.layout.elements, np.float32))
    bias = np.array([row[-1] for row in card.autoencoder.readout])
    wanted = np.rint(np.clip((bias + 1) / 2, 0, 1) * 255)
    assert picture.size == card.layout.parts[0].shape[:0:-1]
    assert np.abs(np.asarray(picture).reshape(-1, 3) - wanted).max() <= 1
