"""What stands between latents and pictures: its card, its scale, its two graphs.

Two kinds: the KL autoencoder, whose latent of a picture is a distribution, and the tiny one that is
taught to answer like it, TAESD, whose latent is a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from denoisert.export.families.configuration import whole
from denoisert.export.families.sizes import Sizes
from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.foreign import shown
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


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between kinds of autoencoders.

    Args:
        levels: key of the channels of each level.
        plain: levels of one that does not list them, as in diffusers.
        scale: of one that does not say its own, as in diffusers.
    """

    levels: str
    plain: tuple[int, ...]
    scale: float


KL: Final = Kind("block_out_channels", (64,), 0.18215)
TINY: Final = Kind("decoder_block_out_channels", (64, 64, 64, 64), 1.0)
KINDS: Final[Mapping[str, Kind]] = {"AutoencoderKL": KL, "AutoencoderTiny": TINY}
"""Class -> its kind."""


def kind_of(vae: Component) -> Kind:
    """What kind of autoencoder a component is."""
    return KINDS.get(vae.class_name, KL)


def factor_of(vae: Component) -> int:
    """Pixels per latent position: every level but the last halves the picture.

    Raises:
        ExportError: no list of 1 to 8 levels, or halves of a tiny autoencoder that do not fit.
    """
    kind = kind_of(vae)
    blocks = vae.config.get(kind.levels, list(kind.plain))
    if not isinstance(blocks, list) or not 0 < len(blocks) <= MOST_LEVELS:
        raise ExportError(
            f"{kind.levels} of vae is {shown(blocks)}; it must list 1 to {MOST_LEVELS} levels."
        )
    if kind is TINY:
        _check_halves(vae, len(blocks))
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
            "vae has latents_mean or latents_std, statistics of each channel, which are not "
            "compiled: pipelines of SDXL use them, all others here ignore them. Put them into the "
            "weights of vae for SDXL, or remove them from its configuration for the others."
        )
    found = (
        vae.config.get("scaling_factor", kind_of(vae).scale),
        vae.config.get("shift_factor") or 0.0,
    )
    if not all(type(value) in (int, float) for value in found) or not found[0]:
        raise ExportError(
            f"vae has scaling_factor and shift_factor {found}; both are numbers, the first not 0."
        )
    return float(found[0]), float(found[1])


def autoencoder_graphs(
    vae: Component, card: Card, build: Build
) -> Iterator[tuple[nn.Module, Signature]]:
    """Decoder, then encoder; the network is built once."""
    from denoisert.export.graph.signature import STD, decoder_signature, encoder_signature
    from denoisert.export.modules.autoencoder import Decoder, Encoder, TinyEncoder

    affine = find_affine(vae)
    network = build(vae.name)
    yield Decoder(network, *affine), decoder_signature(card)
    signature = encoder_signature(card)
    if kind_of(vae) is TINY:
        yield TinyEncoder(network, *affine), replace(signature, zeros=(STD,))
    else:
        yield Encoder(network, *affine), signature


def _check_halves(vae: Component, levels: int) -> None:
    """Refuse a tiny autoencoder whose encoder and decoder have different factors."""
    blocks = vae.config.get("encoder_block_out_channels", list(TINY.plain))
    enlarged = vae.config.get("upsampling_scaling_factor", 2)
    if not isinstance(blocks, list) or len(blocks) != levels or enlarged != 2:
        raise ExportError(
            f"vae has encoder_block_out_channels {shown(blocks)} and upsampling_scaling_factor "
            f"{shown(enlarged)}; pipelines take as many levels as its decoder has, {levels}, and a "
            "factor of 2 for each."
        )
