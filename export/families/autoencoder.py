"""What stands between latents and pictures: its card, its scale, its two graphs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from denoisert.export.families.configuration import whole
from denoisert.export.families.sizes import Sizes
from denoisert.export.sources.diffusers.component import Component
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.picture import Autoencoder
from denoisert.runtime.errors import ExportError

if TYPE_CHECKING:
    from torch import nn

    from denoisert.export.families.family import Build
    from denoisert.export.graph.signature import Signature

VAE: Final = "vae"
MOST_LEVELS: Final = 8
"""Levels of an autoencoder."""

SCALE: Final = 0.18215
"""Scale of an autoencoder that does not say its own, as in diffusers."""


def factor_of(vae: Component) -> int:
    """Pixels per latent position: every level but the last halves the picture.

    Raises:
        ExportError: no list of 1 to 8 levels.
    """
    blocks = vae.config.get("block_out_channels", [64])
    if not isinstance(blocks, list) or not 0 < len(blocks) <= MOST_LEVELS:
        raise ExportError(
            f"block_out_channels of vae is {blocks!r}; it must list 1 to {MOST_LEVELS} levels."
        )
    return int(2 ** (len(blocks) - 1))


def latent_channels(vae: Component) -> int:
    """Channels of a latent."""
    return whole(vae, "latent_channels", 4)


def autoencoder_of(vae: Component, sizes: Sizes) -> Autoencoder:
    """The card's autoencoder."""
    return Autoencoder(sizes.factor, whole(vae, "out_channels", 3), sizes.tile)


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


def autoencoder_graphs(
    vae: Component, card: Card, build: Build
) -> Iterator[tuple[nn.Module, Signature]]:
    """Decoder, then encoder; the network is built once."""
    from denoisert.export.graph.signature import decoder_signature, encoder_signature
    from denoisert.export.modules.autoencoder import Decoder, Encoder

    affine = find_affine(vae)
    network = build(vae.name)
    yield Decoder(network, *affine), decoder_signature(card)
    yield Encoder(network, *affine), encoder_signature(card)
