"""From latents to pixels."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.codec.calls import CodecGraph, tile_calls
from denoisert.runtime.codec.coder import Coder
from denoisert.runtime.codec.pixels import pixel_values
from denoisert.runtime.codec.tiles import run_tiles
from denoisert.runtime.engines.engine import Engine
from denoisert.runtime.engines.rows import RowCalls
from denoisert.runtime.errors import NonFinite, OutOfProfile


class Decoder:
    """The decoder's graph, for one thread at a time.

    Args:
        engine: takes `latent`, float32 (lanes, C, *tile); gives `picture`; any tile of the card's.
        card: with an autoencoder.

    Raises:
        InvalidInput: the card has no autoencoder.
        EngineError: the graph is not the one that the card describes.
    """

    def __init__(self, engine: Engine, card: Card) -> None:
        self._coder = Coder.of(card)
        graph = CodecGraph("decoder", "latent", self._coder.shape[0], 1, ("picture",))
        self._calls = tile_calls(engine, card, graph)

    def decode(self, latents: NDArray[Any]) -> NDArray[np.uint8]:
        """Decode latents, in tiles where they are larger than one.

        On ONNX Runtime a picture is the same, bit for bit, whatever is decoded beside it.

        Args:
            latents: (images, C, h, w), finite, at least a tile.

        Returns:
            Pixels, (images, h * factor, w * factor, channels).

        Raises:
            OutOfProfile: latents of another shape.
            NonFinite: the decoder overflowed; no picture of this call is returned.
            EngineError: the engine failed.
        """
        calls = self._calls_for(latents.shape)
        coder = self._coder.autoencoder
        images, _, height, width = latents.shape
        size = (height * coder.factor, width * coder.factor)
        pixels = np.empty((images, *size, coder.channels), np.uint8)
        pieces = run_tiles(
            latents.astype(np.float32, copy=False),
            self._coder.tiles(height, width),
            partial(_call, calls),
            lanes=calls.largest,
            scales=(1, coder.factor),
        )
        for image, window, values in pieces:
            pixels[(image, *window)] = pixel_values(values[None], self._coder.picture)[0]
        return pixels

    def forget(self) -> None:
        """Drop what is bound, so that the engine can leave memory; the next call binds anew."""
        for calls in self._calls.values():
            calls.forget()

    def close(self) -> None:
        """Release the engine."""
        for calls in self._calls.values():
            calls.close()

    def _calls_for(self, shape: tuple[int, ...]) -> RowCalls:
        """The calls at the tile that latents of this shape are cut into."""
        channels, coder = self._coder.shape[0], self._coder.autoencoder
        calls = self._calls.get(coder.tile_at(*shape[2:])) if len(shape) == 4 else None
        if calls is None or shape[1] != channels:
            raise OutOfProfile(
                f"latents of shape {shape}; the decoder takes (images, {channels}, h, w) with h "
                f"and w of at least {' or '.join(map(str, self._calls))}."
            )
        return calls


def _call(calls: RowCalls, latents: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = calls.run({"latent": latents})["picture"]
    if not np.isfinite(found).all():
        raise NonFinite(
            "the decoder made values that are NaN or infinite. The latent lies far outside "
            "what it was trained on; lower the guidance scale or take more steps."
        )
    return found
