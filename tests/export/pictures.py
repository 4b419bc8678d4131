"""Cards of models that make pictures of several sizes."""

import dataclasses

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.picture import Autoencoder, Picture
from denoisert.runtime.layout import Part, StateLayout
from tests.export.networks import card_of

FACTOR = 8
Size = tuple[int, int]


def card_at(*sizes: Size, tile: Size = (8, 8)) -> Card:
    """A card of pictures at these latent sizes."""
    layouts = [StateLayout((Part("latent", (4, *size)),)) for size in sizes]
    return dataclasses.replace(
        card_of(layouts[0].parts, conditions=()),
        further=tuple(layouts[1:]),
        picture=Picture(),
        autoencoder=Autoencoder(FACTOR, 3, tile, has_encoder=False),
    )
