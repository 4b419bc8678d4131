"""The card's read-out for previews, fitted to the decoder when it passes by."""

from __future__ import annotations

from dataclasses import replace

from denoisert.export.graph.signature import DECODER, LATENT, PICTURE
from denoisert.export.sources.diffusers.readout import Array, Readout, estimate_readout
from denoisert.export.sources.source import Component as Graph
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.picture import Autoencoder


class Preview:
    """Looks at every graph of a model while it is in memory.

    Args:
        card: of the model; one with a read-out of its own, or without a decoder, stays as it is.
    """

    def __init__(self, card: Card) -> None:
        self._card = card
        self._readout: Readout = ()

    def look(self, graph: Graph) -> None:
        """Fit the read-out, if this is the decoder and the card wants one."""
        coder = self._card.autoencoder
        if coder is None or coder.readout or graph.signature.component != DECODER:
            return
        self._readout = find_readout(graph, self._card.layout.parts[0].channels, coder)

    def complete(self, card: Card) -> Card:
        """The card with the read-out that was found."""
        coder = card.autoencoder
        if coder is None or not self._readout:
            return card
        return replace(card, autoencoder=replace(coder, readout=self._readout))


def find_readout(decoder: Graph, channels: int, coder: Autoencoder) -> Readout:
    """Weights of the preview.

    Args:
        decoder: takes a tile.
        channels: of a latent.
        coder: its tile.
    """

    def decode(latents: Array) -> Array:
        return decoder.evaluate({LATENT: latents})[PICTURE]

    return estimate_readout(decode, (channels, *coder.tile))
