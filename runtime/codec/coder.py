"""What a card says about the way between pictures and latents, together."""

from __future__ import annotations

from dataclasses import dataclass

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.picture import Autoencoder, Picture
from denoisert.runtime.codec.tiles import Tiles
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import StateLayout

CALL_PIXELS = 512 * 512
"""Pixels per call of a decoder or image encoder, unless one tile is larger: activations take
kilobytes per pixel, a gigabyte for one tile of 512 x 512."""


@dataclass(frozen=True, slots=True)
class Coder:
    """The autoencoder of a card and the shapes on both of its sides.

    Args:
        shape: (C, h, w) of the latent.
        autoencoder: its graphs.
        picture: values of black and white.
    """

    shape: tuple[int, int, int]
    autoencoder: Autoencoder
    picture: Picture

    @classmethod
    def of(cls, card: Card, layout: StateLayout | None = None) -> Coder:
        """The coder of a card.

        Args:
            card: of the model.
            layout: one of its layouts; None for the first.

        Raises:
            InvalidInput: the card has no autoencoder.
        """
        if card.autoencoder is None or card.picture is None:
            raise InvalidInput(f"{card.name} has no autoencoder: its latents are what they are.")
        channels, height, width = (layout or card.layout).parts[0].shape
        return cls((channels, height, width), card.autoencoder, card.picture)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(H, W, channels) of a picture."""
        _, height, width = self.shape
        factor = self.autoencoder.factor
        return height * factor, width * factor, self.autoencoder.channels

    @property
    def tile(self) -> tuple[int, int]:
        """(height, width) of a tile: what the graphs take at this size of latent."""
        return self.autoencoder.tile_at(*self.shape[1:])

    @property
    def lanes(self) -> int:
        """Most tiles per call."""
        height, width = self.tile
        return max(1, CALL_PIXELS // (height * width * self.autoencoder.factor**2))

    def tiles(self, height: int, width: int) -> Tiles:
        """The tiles of a latent of this size."""
        rows, columns = self.autoencoder.tile_at(height, width)
        share = self.autoencoder.overlap
        overlap = (int(rows * share), int(columns * share))
        return Tiles((height, width), (rows, columns), overlap)
