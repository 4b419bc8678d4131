"""Every graph of a folder: its network between the ports that the card promises, traced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from torch import nn

from denoisert.export.graph.signature import (
    DECODER,
    LATENT,
    PICTURE,
    Signature,
    decoder_signature,
    denoiser_signature,
    encoder_signature,
    text_signature,
)
from denoisert.export.sources.diffusers.card import VOCABULARY, denoiser_of, whole
from denoisert.export.sources.diffusers.folder import Component, Folder
from denoisert.export.sources.diffusers.modules import (
    ClassDenoiser,
    Decoder,
    Encoder,
    TextDenoiser,
    TextStates,
)
from denoisert.export.sources.diffusers.networks import build_network
from denoisert.export.sources.diffusers.readout import Array, Readout, estimate_readout
from denoisert.export.sources.module import load_component
from denoisert.export.sources.source import Component as Graph
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.errors import ExportError

Weights = Mapping[str, tuple[Path, ...]]

SCALE: Final = 0.18215
"""Scale of an autoencoder that does not say its own, as in diffusers."""


def load_graphs(folder: Folder, weights: Weights, card: Card) -> tuple[Graph, ...]:
    """Denoiser, text encoders, decoder and encoder.

    Args:
        folder: configurations.
        weights: component -> its files.
        card: sizes and names.

    Raises:
        ExportError: configuration and weights do not fit, or torch cannot export a component.
    """
    return tuple(
        load_component(module, signature) for module, signature in _modules(folder, weights, card)
    )


def find_readout(graphs: tuple[Graph, ...], card: Card) -> Readout:
    """Weights of the preview, from the loaded decoder."""
    (decoder,) = (graph for graph in graphs if graph.signature.component == DECODER)

    def decode(latents: Array) -> Array:
        return decoder.evaluate({LATENT: latents})[PICTURE]

    tile = () if card.autoencoder is None else card.autoencoder.tile
    return estimate_readout(decode, (card.layout.parts[0].channels, *tile))


def find_affine(vae: Component) -> tuple[float, float]:
    """Scale and shift between the autoencoder's latents and the denoiser's.

    Raises:
        ExportError: they are no numbers, or there are statistics of each channel instead.
    """
    if vae.config.get("latents_mean") or vae.config.get("latents_std"):
        raise ExportError(
            "vae has latents_mean or latents_std, statistics of each channel, which pipelines of "
            "this kind ignore; remove them from its configuration, or scale the weights."
        )
    found = (vae.config.get("scaling_factor", SCALE), vae.config.get("shift_factor") or 0.0)
    if not all(type(value) in (int, float) for value in found) or not found[0]:
        raise ExportError(
            f"vae has scaling_factor and shift_factor {found}; both are numbers, the first not 0."
        )
    return float(found[0]), float(found[1])


def _modules(folder: Folder, weights: Weights, card: Card) -> Iterator[tuple[nn.Module, Signature]]:
    parts, denoiser = folder.components, denoiser_of(folder)
    kind = TextDenoiser if card.texts else ClassDenoiser
    network = build_network(denoiser, weights[denoiser.name])
    yield kind(network), denoiser_signature(card)
    for text in card.texts:
        network = build_network(parts[text.name], weights[text.name])
        vocabulary = whole(parts[text.name], "vocab_size", VOCABULARY)
        yield TextStates(network), text_signature(card, text, vocabulary)
    network = build_network(parts["vae"], weights["vae"])
    affine = find_affine(parts["vae"])
    yield Decoder(network, *affine), decoder_signature(card)
    yield Encoder(network, *affine), encoder_signature(card)
