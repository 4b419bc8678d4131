"""The card's read-out for previews, fitted to the decoder once it is loaded."""

from __future__ import annotations

from denoisert.export.graph.signature import DECODER, LATENT, PICTURE
from denoisert.export.sources.diffusers.readout import Array, Readout, estimate_readout
from denoisert.export.sources.source import Component as Graph
from denoisert.runtime.bundle.picture import Autoencoder


def find_readout(graphs: tuple[Graph, ...], channels: int, coder: Autoencoder) -> Readout:
    """Weights of the preview.

    Args:
        graphs: the decoder is among them.
        channels: of a latent.
        coder: its tile.
    """
    (decoder,) = (graph for graph in graphs if graph.signature.component == DECODER)

    def decode(latents: Array) -> Array:
        return decoder.evaluate({LATENT: latents})[PICTURE]

    return estimate_readout(decode, (channels, *coder.tile))
