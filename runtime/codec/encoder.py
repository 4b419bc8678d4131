"""From pixels to latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.philox import CODEC, reference
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.sizes import pixel_sizes
from denoisert.runtime.codec.calls import CodecGraph, tile_calls
from denoisert.runtime.codec.coder import Coder
from denoisert.runtime.codec.mask import hide
from denoisert.runtime.codec.pictures import load_picture
from denoisert.runtime.codec.pixels import picture_values
from denoisert.runtime.codec.tiles import run_tiles
from denoisert.runtime.engines.engine import Engine
from denoisert.runtime.engines.rows import RowCalls
from denoisert.runtime.errors import InvalidInput, NonFinite
from denoisert.runtime.layout import StateLayout

if TYPE_CHECKING:
    from denoisert.runtime.codec.pictures import PictureSource


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What the image encoder knows of a picture's latent; every draw is one such latent.

    Args:
        mean: (C, h, w).
        std: (C, h, w).
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def draw(self, seed: int, image: int = 0, draw: int = 0) -> NDArray[np.float32]:
        """mean + std xi, with xi from Philox.

        Args:
            seed: of the request.
            image: number of the picture in the request.
            draw: 0, or 1 for the picture without what is painted anew.

        Returns:
            (C, h, w).
        """
        shape, count = self.mean.shape, self.mean.size
        noise = reference.normals(seed, draw=draw, image=image, count=count, purpose=CODEC)
        latent: NDArray[np.float32] = self.mean + self.std * noise.reshape(shape)
        return latent


class PictureEncoder:
    """The image encoder's graph, for one thread at a time.

    Args:
        engine: takes `picture`, float32 (lanes, channels, *tile * factor); gives `mean` and `std`.
        card: with an autoencoder.

    Raises:
        InvalidInput: the card has no autoencoder.
        EngineError: the graph is not the one that the card describes.
    """

    def __init__(self, engine: Engine, card: Card) -> None:
        coders = [Coder.of(card, layout) for layout in card.layouts]
        coder = coders[0].autoencoder
        graph = CodecGraph("encoder", "picture", coder.channels, coder.factor, ("mean", "std"))
        self._coders = {each.picture_shape: each for each in coders}
        self._calls = tile_calls(engine, card, graph)

    def encode(
        self, picture: NDArray[np.uint8], painted: NDArray[np.bool_] | None = None
    ) -> Moments:
        """Look at a picture, in tiles where it is larger than one.

        Args:
            picture: (H, W, channels) of one of the card's sizes.
            painted: (H, W), true where grey hides it; None hides nothing.

        Returns:
            Mean and standard deviation of its latent.

        Raises:
            InvalidInput: a picture of another size.
            NonFinite: the image encoder overflowed.
            EngineError: the engine failed.
        """
        coder = self._coders.get(picture.shape)
        if coder is None or picture.dtype != np.uint8:
            raise _refusal(picture, list(self._coders))
        calls = self._calls[coder.tile]
        channels, height, width = coder.shape
        found = np.empty((2 * channels, height, width), np.float32)
        values = picture_values(picture[None], coder.picture)
        if painted is not None:
            values = hide(values, painted, coder.picture)
        pieces = run_tiles(
            values,
            coder.tiles(height, width),
            partial(_call, calls),
            lanes=calls.largest,
            scales=(coder.autoencoder.factor, 1),
        )
        for _, window, values in pieces:
            found[(slice(None), *window)] = values
        if not np.isfinite(found).all():
            raise NonFinite(
                "the image encoder made values that are NaN or infinite. Start from another "
                "picture."
            )
        return Moments(found[:channels], found[channels:])

    def forget(self) -> None:
        """Drop what is bound, so that the engine can leave memory; the next call binds anew."""
        for calls in self._calls.values():
            calls.forget()

    def close(self) -> None:
        """Release the engine."""
        for calls in self._calls.values():
            calls.close()


def _call(calls: RowCalls, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    found = calls.run({"picture": pictures})
    return np.concatenate([found["mean"], found["std"]], axis=1)


def start_picture(
    source: PictureSource, card: Card, layout: StateLayout | None = None
) -> NDArray[np.uint8]:
    """A picture to start from, as the image encoder of a bundle takes it.

    Args:
        source: what `load_picture` takes.
        card: of the bundle.
        layout: the one that the request runs at; None for the first.

    Returns:
        (H, W, channels).

    Raises:
        InvalidInput: the bundle has no image encoder, the picture has another size than the
            request, or it cannot be read.
    """
    if card.autoencoder is None or not card.autoencoder.has_encoder:
        raise InvalidInput(
            f"{card.name} has no image encoder, so it cannot start from a picture. Pass a latent, "
            "or compile the model with its encoder."
        )
    picture = load_picture(source)
    coder = Coder.of(card, layout)
    if picture.shape != coder.picture_shape:
        refusal = _refusal(picture, [coder.picture_shape])
        hint = f" Or ask for another size: the bundle has {pixel_sizes(card)}."
        raise InvalidInput(f"{refusal}{hint}") if card.further else refusal
    return picture


def _refusal(picture: NDArray[np.uint8], shapes: Sequence[tuple[int, ...]]) -> InvalidInput:
    """A picture of another size than the graphs or the request have; names both."""
    return InvalidInput(
        f"the picture is {picture.dtype} {picture.shape}; the bundle is compiled for uint8 "
        f"{' or '.join(map(str, shapes))} (height, width, channels). Scale or cut it to that size."
    )
